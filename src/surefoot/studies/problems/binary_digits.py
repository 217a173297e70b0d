"""A small residual network with 1-bit weights and activations, and its training on handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.surrogates import Equilibrium, EquilibriumState, compute, read_equilibrium, update
from surefoot.nn.binary import BinaryConv2d, Estimator, binary_layers, set_sharpness
from surefoot.studies.problems.digits import digits


class BinaryDigitsNet(nn.Module):
    """A real convolution, residual blocks of one binary convolution and BatchNorm each, the mean, a real layer."""

    def __init__(self, estimator: Estimator, width: int = 16, blocks: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                BinaryConv2d(width, width, 3, padding=1, bias=False, estimator=estimator), nn.BatchNorm2d(width)
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Float[Tensor, "batch 64"]) -> Float[Tensor, "batch 10"]:
        h = self.stem(x.unflatten(1, (1, 8, 8)))
        for block in self.blocks:
            h = h + block(h)
        return self.head(h.mean((2, 3)))


@dataclass(frozen=True)
class BinaryRun:
    """What one training gave: losses of all steps, test accuracy, the two meters, the largest |gradient| of a step."""

    losses: list[float]
    accuracy: float
    equilibrium: Equilibrium
    largest_gradient: list[float]
    gradients: Float[Tensor, " elements"]

    @property
    def final_loss(self) -> float:
        """Mean of the last 20 steps."""
        last = self.losses[-20:]
        return sum(last) / len(last)


def train_binary(
    data: tuple[Tensor, Tensor, Tensor, Tensor],
    estimator: Estimator,
    schedule: Callable[[float], float] | None,
    seed: int,
    epochs: int,
    judged_at: float | None = None,
) -> BinaryRun:
    """Train by SGD (0.1, momentum 0.9, weight decay 1e-4, cosine) with batches of 64.

    Parameters
    ----------
    data : pixels and labels for training, then for the test
    schedule : epoch → sharpness; None leaves it as the estimator has it
    judged_at : sharpness in the estimating error; None takes the present one
    """
    x, y, x_test, y_test = data
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BinaryDigitsNet(estimator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses, largest, state = [], [], EquilibriumState()
    weights = [layer.weight for layer in binary_layers(model).values()]
    for epoch in range(epochs):
        if schedule is not None:
            set_sharpness(model, schedule(epoch))
        whole = len(x) - len(x) % 64  # no small last batch: its gradient would be the one that is read
        for rows in torch.randperm(len(x), generator=generator)[:whole].split(64):
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.item())
            gradients = [w.grad for w in weights if w.grad is not None]
            largest.append(max(g.abs().max().item() for g in gradients))
            optimizer.step()
        scheduler.step()
        update(state, read_equilibrium(model, judged_at))
    model.eval()
    with torch.no_grad():
        accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
    return BinaryRun(losses, accuracy, compute(state), largest, torch.cat([g.flatten() for g in gradients]))


def digits_split() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The digits in [−1, 1], a quarter for the test, split the same way for every seed."""
    data = digits(seed=0, test_share=0.25)
    return 2 * data.x_train - 1, data.y_train, 2 * data.x_test - 1, data.y_test
