"""What the study of `ghosts` measures, one function a part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.steps.radii import network_radius
from surefoot.optim import RadiusSGD, SafeStep
from surefoot.optim.exact_radius import exact_radius
from surefoot.optim.safe_radius import convergence_radius
from surefoot.optim.step_report import step_report
from surefoot.studies.problems.digits import Digits, Kind, classifier

Arm = Literal["plain", "gradient-clip", "update-clip", "safe-step"]
ARMS: tuple[Arm, ...] = ("plain", "gradient-clip", "update-clip", "safe-step")
GRADIENT_CLIP, UPDATE_CLIP = 1.0, 0.5


@dataclass
class Trace:
    """One training run: final test accuracy, and series over steps."""

    accuracy: float = math.nan
    loss: list[float] = field(default_factory=list)
    tau: list[float] = field(default_factory=list)
    radius: list[float] = field(default_factory=list)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right answers in evaluation mode; 0.1 is chance. Non-finite outputs are wrong answers."""
    was = model.training
    model.eval()
    logits = model(x)
    model.train(was)
    return float(((logits.argmax(-1) == y) & torch.isfinite(logits).all(-1)).float().mean())


def spike_run(
    kind: Kind,
    data: Digits,
    arm: Arm,
    seed: int,
    *,
    lr: float,
    factor: float,
    spike: range,
    steps: int = 200,
    batch_size: int = 64,
) -> Trace:
    """Adam on digits with a learning rate that is ``factor`` times too high during the steps in ``spike``."""
    model = classifier(kind, seed)
    inner = torch.optim.Adam(model.parameters(), lr=lr)
    optimizer: torch.optim.Optimizer = SafeStep(inner, model) if arm == "safe-step" else inner
    generator = torch.Generator().manual_seed(1000 + seed)
    trace = Trace()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * factor if step in spike else lr
        rows = _batch(data, batch_size, generator)
        loss = F.cross_entropy(model(data.x_train[rows]), data.y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        trace.loss.append(float(loss.detach()))
        if arm == "gradient-clip":
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
        if arm == "update-clip":
            _clipped_update(optimizer, list(model.parameters()), UPDATE_CLIP)
            continue
        optimizer.step()
        if isinstance(optimizer, SafeStep) and optimizer.last is not None:
            trace.tau.append(optimizer.last.tau)
            trace.radius.append(optimizer.last.radius)
    trace.accuracy = accuracy(model, data.x_test, data.y_test)
    return trace


@torch.no_grad()
def _clipped_update(optimizer: torch.optim.Optimizer, parameters: list[Tensor], most: float) -> None:
    """A step shortened to the norm ``most``: the baseline with a threshold that was tuned for it."""
    before = [p.clone() for p in parameters]
    optimizer.step()
    update = torch._foreach_sub(parameters, before)
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(update))))
    if norm > most:
        for p, old, u in zip(parameters, before, update, strict=True):
            p.copy_(old + (most / norm) * u)


@dataclass(frozen=True)
class Sweep:
    """One step of growing length: what is left afterwards, for each direction (rows) and each r (columns)."""

    retained: np.ndarray  # test accuracy over that before the step
    loss_ratio: np.ndarray  # training loss over that before the step


def one_step_sweep(kind: Kind, data: Digits, seed: int, train_steps: int, r: np.ndarray, directions: int) -> Sweep:
    """Steps of r radii along the negative gradient and along random directions, from a network trained so far."""
    model = classifier(kind, seed)
    _train(model, data, train_steps, lr=1e-2, batch_size=64, seed=seed)
    model.eval()
    here = {name: p.detach().clone() for name, p in model.named_parameters()}
    before = _loss(model, data.x_train, data.y_train, 1.0)
    base = accuracy(model, data.x_test, data.y_test)
    generator = torch.Generator().manual_seed(2000 + seed)
    retained, ratios = [], []
    for number in range(1 + directions):
        if number == 0:
            direction = descent(model, data, 1.0)
        else:
            direction = {name: torch.randn(p.shape, generator=generator) for name, p in here.items()}
        report = step_report(model, here, direction, data.x_train)
        rows = []
        for length in r * report.radius / report.tau:
            _move(model, here, direction, float(length))
            rows.append((accuracy(model, data.x_test, data.y_test), _loss(model, data.x_train, data.y_train, 1.0)))
        _move(model, here, direction, 0.0)
        measured = np.array(rows)
        retained.append(measured[:, 0] / base)
        ratios.append(measured[:, 1] / before)
    return Sweep(np.array(retained), np.array(ratios))


@dataclass(frozen=True)
class Onset:
    """Where one step along the negative gradient doubles the loss, for each temperature."""

    raw: np.ndarray  # length of the step
    scaled: np.ndarray  # the same in radii
    worst_inside: float  # largest loss ratio of a step with r < 1
    flips_inside: float  # largest share of changed predictions of a step with r < 1


def onsets(data: Digits, seed: int, temperatures: tuple[float, ...], r: np.ndarray, *, steps: int = 120) -> Onset:
    """Train at each temperature, then find the step that doubles the training loss."""
    raw, scaled, worst, flips = [], [], 0.0, 0.0
    for temperature in temperatures:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(
                nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10)
            )  # fmt: skip
        _train(model, data, steps, lr=1e-2, batch_size=256, seed=seed, temperature=temperature)
        here = {name: p.detach().clone() for name, p in model.named_parameters()}
        direction = descent(model, data, temperature)
        report = step_report(model, here, direction, data.x_train, temperature=temperature)
        before = _loss(model, data.x_train, data.y_train, temperature)
        with torch.no_grad():
            said = model(data.x_train).argmax(-1)
        ratios = []
        for step in r:
            _move(model, here, direction, float(step * report.radius / report.tau))
            ratios.append(_loss(model, data.x_train, data.y_train, temperature) / before)
            if step < 1:
                with torch.no_grad():
                    flips = max(flips, float((model(data.x_train).argmax(-1) != said).float().mean()))
        ratio = np.array(ratios)
        worst = max(worst, float(ratio[r < 1].max()))
        doubled = float(first_above(r, ratio[None], 2.0)[0])
        scaled.append(doubled)
        raw.append(doubled * report.radius)
    return Onset(np.array(raw), np.array(scaled), worst, flips)


def first_above(x: np.ndarray, curves: np.ndarray, level: float) -> np.ndarray:
    """First x (log-linear between the points) where each curve exceeds the level; the last x where none does."""
    result = []
    for curve in np.nan_to_num(curves, nan=np.inf, posinf=1e30):
        above = np.flatnonzero(curve > level)
        if not len(above) or above[0] == 0:
            result.append(x[-1] if not len(above) else x[0])
            continue
        i = above[0]
        share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
        result.append(x[i - 1] * (x[i] / x[i - 1]) ** share)
    return np.array(result)


def calibration(seed: int, draws: int, classes: int = 10) -> np.ndarray:
    """Exact radius over the bound for random logits (standard deviation 3) and slopes."""
    generator = torch.Generator().manual_seed(3000 + seed)
    logits = 3 * torch.randn(draws, classes, generator=generator, dtype=torch.float64)
    slopes = torch.randn(draws, classes, generator=generator, dtype=torch.float64)
    return (exact_radius(logits, slopes) / convergence_radius(slopes, reduce="none")).numpy()


def without_learning_rate(data: Digits, seed: int, r: float, steps: int = 200) -> float:
    """Test accuracy of RadiusSGD: every step is r radii long."""
    model = classifier("mlp", seed)
    return _fit(model, RadiusSGD(model.parameters(), model, r), data, seed, steps)


def fixed_learning_rate(data: Digits, seed: int, lr: float, steps: int = 200) -> float:
    """Test accuracy of SGD with one learning rate."""
    model = classifier("mlp", seed)
    return _fit(model, torch.optim.SGD(model.parameters(), lr=lr), data, seed, steps)


def sharpening(data: Digits, seed: int, steps: int) -> Trace:
    """Adam at a constant learning rate, measured at every step and never shortened: how τ and ρ_a drift."""
    model = classifier("mlp", seed)
    optimizer = SafeStep(torch.optim.Adam(model.parameters(), lr=1e-2), model, r_max=1e12)
    generator = torch.Generator().manual_seed(1000 + seed)
    trace = Trace()
    for _ in range(steps):
        rows = _batch(data, 64, generator)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data.x_train[rows]), data.y_train[rows])
        loss.backward()
        optimizer.step()
        assert optimizer.last is not None
        trace.loss.append(float(loss.detach()))
        trace.tau.append(optimizer.last.tau)
        trace.radius.append(optimizer.last.radius)
    return trace


def bottlenecks(data: Digits, seed: int, steps: int, every: int) -> np.ndarray:
    """Radii (output, attention, activation) of a small transformer along Adam's updates, one row a look."""
    model = classifier("transformer", seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1000 + seed)
    rows = []
    for step in range(steps):
        batch = _batch(data, 64, generator)
        optimizer.zero_grad()
        F.cross_entropy(model(data.x_train[batch]), data.y_train[batch]).backward()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.step()
        if step % every == 0:
            update = {name: p.detach() - before[name] for name, p in model.named_parameters()}
            found = network_radius(model, before, update, data.x_train[batch])
            rows.append((found.output, found.attention, found.activation))
    return np.array(rows)


def descent(model: nn.Module, data: Digits, temperature: float) -> dict[str, Tensor]:
    """The negative gradient on the training set."""
    loss = F.cross_entropy(model(data.x_train) / temperature, data.y_train)
    names, parameters = zip(*model.named_parameters(), strict=True)
    return {name: -g for name, g in zip(names, torch.autograd.grad(loss, parameters), strict=True)}


def _fit(model: nn.Module, optimizer: torch.optim.Optimizer, data: Digits, seed: int, steps: int) -> float:
    _loop(model, optimizer, data, steps, 64, seed, lambda z, y: F.cross_entropy(z, y))
    return accuracy(model, data.x_test, data.y_test)


def _train(
    model: nn.Module, data: Digits, steps: int, *, lr: float, batch_size: int, seed: int, temperature: float = 1.0
) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    _loop(model, optimizer, data, steps, batch_size, seed, lambda z, y: F.cross_entropy(z / temperature, y))


def _loop(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Digits,
    steps: int,
    batch_size: int,
    seed: int,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    for _ in range(steps):
        rows = _batch(data, batch_size, generator)
        optimizer.zero_grad()
        loss_fn(model(data.x_train[rows]), data.y_train[rows]).backward()
        optimizer.step()


def _batch(data: Digits, size: int, generator: torch.Generator) -> Tensor:
    """Rows of a mini-batch, each at most once."""
    return torch.randperm(len(data.y_train), generator=generator)[:size]


@torch.no_grad()
def _loss(model: nn.Module, x: Tensor, y: Tensor, temperature: float) -> float:
    return float(F.cross_entropy(model(x) / temperature, y))


@torch.no_grad()
def _move(model: nn.Module, here: dict[str, Tensor], direction: dict[str, Tensor], length: float) -> None:
    for name, p in model.named_parameters():
        p.copy_(here[name] + length * direction[name])
