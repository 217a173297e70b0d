"""The runs of the study ``eqprop``: bias of the nudge, training on digits, where it breaks, how long it settles."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.nudging import NudgeReport, nudge_report
from surefoot.nn.eqprop import (
    EqPropTrainer,
    LayeredHopfield,
    Settling,
    SquaredError,
    eqprop_grad,
    implicit_grad,
    settle,
)
from surefoot.studies.frame import Scale
from surefoot.studies.problems.digits import Digits, digits


@dataclass(frozen=True)
class Sizes:
    """How large each part is at a scale."""

    betas: tuple[float, ...]
    hidden: int
    rows: int
    epochs: int
    depths: tuple[int, ...]
    settle_limit: int


SIZES: dict[Scale, Sizes] = {
    "smoke": Sizes((0.1, 0.05, 0.025), 32, 300, 2, (1, 2), 2000),
    "small": Sizes((0.2, 0.1, 0.05, 0.025, 0.0125), 128, 1348, 8, (1, 2, 3), 20_000),
    "paper": Sizes((0.2, 0.1, 0.05, 0.025, 0.0125), 500, 1348, 60, (1, 2, 3), 20_000),
}
# rates of the weights of each layer, as the paper has them for one hidden layer
RATES = (0.1, 0.05)
BATCH = 20


def bias_of_the_nudge(seed: int, betas: tuple[float, ...]) -> NudgeReport:
    """A smooth 5-7-3 network in float64, settled to 1e-13."""
    generator = torch.Generator().manual_seed(seed)
    model = LayeredHopfield((5, 7, 3), "sigmoid4", dtype=torch.float64)
    with torch.no_grad():
        for weight in model.weights:
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    x, target = (torch.rand(8, n, generator=generator, dtype=torch.float64) for n in (5, 3))
    return nudge_report(model, x, target, SquaredError(), betas, Settling(60, 0.5, 1e-13, "newton"))


@dataclass(frozen=True)
class Training:
    """Accuracy after each epoch, and the trained model."""

    test: list[float]
    train: list[float]
    model: LayeredHopfield


def digits_data(sizes: Sizes) -> Digits:
    """The digits, cut to the scale."""
    data = digits(0, 0.25)
    return Digits(data.x_train[: sizes.rows], data.y_train[: sizes.rows], data.x_test, data.y_test)


def train(data: Digits, sizes: Sizes, seed: int, scheme: str, tell: Callable[[], None]) -> Training:
    """One hidden layer, the paper's recipe: 20 free and 4 nudged steps of 0.5, particles, batches of 20.

    ``scheme`` is one of equilibrium propagation's, or ``"implicit"``: the exact gradient at a state settled to 1e-5.
    """
    generator = torch.Generator().manual_seed(seed)
    model = LayeredHopfield((64, sizes.hidden, 10), generator=generator)
    groups = [{"params": [w, b], "lr": lr} for w, b, lr in zip(model.weights, model.biases, RATES, strict=True)]
    optimizer = torch.optim.SGD(groups, lr=RATES[0])
    target = F.one_hot(data.y_train, 10).float()
    trainer = EqPropTrainer(
        model, optimizer, beta=0.5, scheme="symmetric" if scheme == "implicit" else scheme,  # type: ignore[arg-type]
        examples=len(target), generator=generator,
    )  # fmt: skip
    exact = Settling(500, tol=1e-5, method="alternate")
    test, fit = [], []
    for _ in range(sizes.epochs):
        for rows in torch.randperm(len(target), generator=generator).split(BATCH):
            if scheme == "implicit":
                _implicit_step(model, optimizer, data.x_train[rows], target[rows], exact)
            else:
                trainer.step(data.x_train[rows], target[rows], rows)
        test.append(_accuracy(trainer, data.x_test, data.y_test))
        fit.append(_accuracy(trainer, data.x_train, data.y_train))
        tell()
    return Training(test, fit, model)


def _implicit_step(
    model: LayeredHopfield, optimizer: torch.optim.Optimizer, x: Tensor, d: Tensor, how: Settling
) -> None:
    free = settle(model, x, how=how)
    gradients = implicit_grad(model, x, d, SquaredError(), free.state, tol=1e-4)
    for name, parameter in model.named_parameters():
        parameter.grad = gradients[name]
    optimizer.step()


def _accuracy(trainer: EqPropTrainer, x: Tensor, y: Tensor) -> float:
    return (trainer.predict(x).argmax(1) == y).float().mean().item()


def train_backprop(data: Digits, sizes: Sizes, seed: int) -> float:
    """Test accuracy of a feed-forward network of the same size by backpropagation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, sizes.hidden), nn.Hardtanh(0, 1), nn.Linear(sizes.hidden, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    target = F.one_hot(data.y_train, 10).float()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(sizes.epochs):
        for rows in torch.randperm(len(target), generator=generator).split(BATCH):
            optimizer.zero_grad()
            SquaredError()(model(data.x_train[rows]), target[rows]).mean().backward()
            optimizer.step()
    with torch.no_grad():
        return (model(data.x_test).argmax(1) == data.y_test).float().mean().item()


def cosine_by_layer(model: LayeredHopfield, data: Digits) -> list[float]:
    """Cosine between the paper's few-step contrast and the exact gradient, for each weight of a trained network."""
    x, d = data.x_train[:100], F.one_hot(data.y_train[:100], 10).float()
    free = settle(model, x, how=Settling(2000, tol=1e-6, method="alternate"))
    exact = implicit_grad(model, x, d, SquaredError(), free.state)
    found = eqprop_grad(model, x, d, SquaredError(), beta=0.5, scheme="one-sided", free=Settling(60)).gradients
    return [
        F.cosine_similarity(found[n].flatten(), exact[n].flatten(), dim=0).item() for n in ("weights.0", "weights.1")
    ]


def breaking(
    data: Digits, sizes: Sizes, seed: int, gains: tuple[float, ...]
) -> dict[float, tuple[float, float, float]]:
    """By gain of the initial weights: their largest eigenvalue between layers, and the error at β 0.1 and 0.025."""
    found = {}
    for gain in gains:
        model = LayeredHopfield((64, sizes.hidden, 10), gain=gain, generator=torch.Generator().manual_seed(seed))
        x, d = data.x_train[:20], F.one_hot(data.y_train[:20], 10).float()
        report = nudge_report(model, x, d, SquaredError(), (0.1, 0.025), Settling(2000, tol=1e-6, method="alternate"))
        radius = float(torch.linalg.matrix_norm(model.weights[1].detach(), 2))
        found[gain] = (radius, report.symmetric[0], report.symmetric[1])
    return found


def settling_lengths(sizes: Sizes, data: Digits, seed: int) -> dict[int, tuple[int, int, list[float]]]:
    """By hidden layers: Euler steps and alternating sweeps to a residual of 1e-4, and the change in each Euler step."""
    found = {}
    for depth in sizes.depths:
        generator = torch.Generator().manual_seed(seed)
        model = LayeredHopfield((64, *[sizes.hidden] * depth, 10), generator=generator)
        x = data.x_train[:20]
        euler = settle(model, x, how=Settling(sizes.settle_limit, tol=1e-4))
        sweeps = settle(model, x, how=Settling(sizes.settle_limit, tol=1e-4, method="alternate"))
        path = settle(model, x, how=Settling(min(400, euler.iterations)), keep_path=True).path
        moved = [
            max(float((b - a).abs().max()) for a, b in zip(now, then, strict=True))
            for now, then in itertools.pairwise(path)
        ]
        found[depth] = (euler.iterations, sweeps.iterations, moved)
    return found
