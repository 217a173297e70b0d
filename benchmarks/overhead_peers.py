"""How each peer of ``overhead.py`` is put on a training loop: as its own documentation says, at its defaults.

Every function takes the model, its optimiser and a folder for what the peer writes, and returns one training step
``step(inputs, targets, number)``. A peer that is not installed raises ``ImportError``; one that can't serve a model
raises what it raises.

==============  ======================================================================================================
peer            what is on
==============  ======================================================================================================
trainscope      ``TrainScope(model, optimizer, config=TrainScopeConfig())``, ``step(loss.item())`` at every step
stabilityguard  ``GuardedOptimizer(optimizer, model)`` in place of the optimiser
wandb           ``wandb.watch(model)`` offline (gradients, every 1,000 batches) and the loss every 10 batches
cockpit         the configuration ``economy``, the least of its three, at every step; needs setuptools < 80
==============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

Step = Callable[[Tensor, Tensor, int], None]


def plain(model: nn.Module, optimizer: Optimizer, folder: Path | None = None) -> Step:
    """The loop itself, which bare and surefoot's arm run."""

    def step(inputs: Tensor, targets: Tensor, number: int) -> None:
        optimizer.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return step


def trainscope(model: nn.Module, optimizer: Optimizer, folder: Path) -> Step:
    """TrainScope 1.8: gradients, weights and activations of every layer at every step."""
    from trainscope import TrainScope
    from trainscope.core.config import TrainScopeConfig

    scope = TrainScope(model, optimizer, config=TrainScopeConfig(run_dir=str(folder))).attach()

    def step(inputs: Tensor, targets: Tensor, number: int) -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), targets)
        loss.backward()
        scope.step(loss.item(), batch_index=number)
        optimizer.step()

    return step


def stabilityguard(model: nn.Module, optimizer: Optimizer, folder: Path) -> Step:
    """StabilityGuard 0.3: the norm of every parameter's gradient at every step."""
    from stabilityguard import GuardedOptimizer

    return plain(model, GuardedOptimizer(optimizer, model))


def wandb(model: nn.Module, optimizer: Optimizer, folder: Path) -> Step:
    """``wandb.watch``: histograms of the gradients every 1,000 batches."""
    import wandb

    run = wandb.init(mode="offline", dir=str(folder), settings=wandb.Settings(silent=True))
    run.watch(model)

    def step(inputs: Tensor, targets: Tensor, number: int) -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        if number % 10 == 0:
            run.log({"loss": loss})

    return step


def cockpit(model: nn.Module, optimizer: Optimizer, folder: Path) -> Step:
    """Cockpit 1.0: gradients sample by sample, by BackPACK, which knows layers and not arbitrary modules."""
    from backpack import extend
    from cockpit import Cockpit
    from cockpit.utils.configuration import configuration

    extend(model)
    mean, each = extend(nn.CrossEntropyLoss()), nn.CrossEntropyLoss(reduction="none")
    pit = Cockpit(model.parameters(), quantities=configuration("economy"))

    def step(inputs: Tensor, targets: Tensor, number: int) -> None:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = mean(outputs, targets)
        told = {
            "batch_size": len(targets),
            "individual_losses": each(outputs, targets),
            "loss": loss,
            "optimizer": optimizer,
        }
        with pit(number, info=told):
            loss.backward(create_graph=pit.create_graph(number))
        optimizer.step()

    return step


PEERS: dict[str, Callable[[nn.Module, Optimizer, Path], Step]] = {
    "trainscope": trainscope,
    "stabilityguard": stabilityguard,
    "wandb": wandb,
    "cockpit": cockpit,
}
