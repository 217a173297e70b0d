"""What the study of opposing signals measures on networks at the edge: planted and natural groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.outliers import (
    OpposingVerdict,
    compute,
    eigen_alignment,
    feature_probe,
    group_gradient,
    group_gradient_cosine,
    judge,
    loss_changes,
    opposing_groups,
    plant_opposing_signal,
    sample_slopes,
    top_hessian_eig,
    update,
)

Data = tuple[Tensor, Tensor]


def losses_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each row."""
    return F.cross_entropy(outputs, targets, reduction="none")


def network(widths: Sequence[int], seed: int) -> nn.Sequential:
    """A tanh network, drawn with its own seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inward, outward in pairwise(widths):
            layers += [nn.Linear(inward, outward), nn.Tanh()]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Look:
    """The curvature at one step, and how the groups that the last loss change names lie in it."""

    step: int
    sharpness: float
    gradient_cosine: float
    alignment: tuple[float, float]
    lag1: float
    """Of the slower of the two groups."""
    up: Tensor
    down: Tensor
    weights: Tensor


@dataclass
class Descent:
    """Full-batch gradient descent with every sample's loss: what it left behind."""

    model: nn.Module
    losses: list[Tensor] = field(default_factory=list)
    delta: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    looks: list[Look] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    verdict: OpposingVerdict | None = None
    vector: Tensor | None = None
    restart: Tensor | None = None

    @property
    def series(self) -> np.ndarray:
        """Steps × samples: every sample's loss before each step."""
        return torch.stack(self.losses).numpy()


def descend(
    model: nn.Module,
    data: Data,
    lr: float,
    steps: int,
    look_at: Sequence[int],
    k: int,
    told: Callable[[float], None] = lambda share: None,
    probe: Tensor | None = None,
    label: int = 0,
) -> Descent:
    """Train, keep the loss changes of the last 60 steps, and look at the curvature after the given steps.

    Parameters
    ----------
    k : samples a side that a look takes from the last step's loss change
    probe : a feature to feed alone after each of the last 20 steps, for the probability of ``label``
    """
    inputs, targets = data
    run, state = Descent(model), loss_changes(len(inputs), window=60)
    parameters = list(model.parameters())
    for step in range(steps + 1):
        losses = losses_of(model(inputs), targets)
        run.losses.append(losses.detach())
        state = update(state, losses)
        if step in look_at and state.count >= 2:
            run.looks.append(_look(run, data, compute(state)[-20:], step, k))
        if probe is not None and step > steps - 20:
            run.probes.append(float(feature_probe(model, probe, torch.tensor([float(probe.norm())]))[0, label]))
        if step == steps:
            break
        slopes = torch.autograd.grad(losses.mean(), parameters)
        with torch.no_grad():
            for p, g in zip(parameters, slopes, strict=True):
                p.sub_(g, alpha=lr)
        told((step + 1) / steps)
    run.delta = compute(state)
    run.verdict = judge(run.delta)
    return run


def _look(run: Descent, data: Data, delta: Tensor, step: int, k: int) -> Look:
    top = top_hessian_eig(run.model, F.cross_entropy, data, start=run.restart, tol=0.02)
    run.vector, run.restart = top.vectors[0], top.restart
    groups = opposing_groups(delta, k=k, method="step")
    nan = float("nan")
    cosine, alignment = nan, (nan, nan)
    if len(groups.up) and len(groups.down):
        cosine = group_gradient_cosine(run.model, F.cross_entropy, data, groups.up, groups.down)
        one, other = eigen_alignment(run.model, F.cross_entropy, data, (groups.up, groups.down), run.vector)
        alignment = (one, other)
    weights = nn.utils.parameters_to_vector(run.model.parameters()).detach()
    return Look(step, float(top.values[0]), cosine, alignment, max(groups.lag1), groups.up, groups.down, weights)


@dataclass(frozen=True)
class Planted:
    """Digits with a planted signal: the run, the truth, and what the finder says against it."""

    run: Descent
    images: Tensor
    data: Data
    first: Tensor
    second: Tensor
    vector: Tensor
    precision: float
    precision_slopes: float
    purity: float
    swap: float
    alignment: tuple[float, float]
    gradient_cosine: float
    sharpness_without: float


def planted(
    digits: Data,
    seed: int,
    lr: float,
    steps: int,
    width: int,
    amplitude: float,
    looks: int,
    told: Callable[[float], None] = lambda share: None,
) -> Planted:
    """Plant a column of pixels in a quarter of the 3s and 8s (5 % of the digits), train, and compare with the truth."""
    images, targets = digits
    vector = torch.zeros(64)
    vector[::8] = 1
    inputs, first, second = plant_opposing_signal(images, targets, (3, 8), 0.25, vector, amplitude, seed)
    data = (inputs, targets)
    model = network([64, width, width, 10], seed)
    look_at = np.unique(np.linspace(max(2, steps // looks), steps, looks).round().astype(int)).tolist()
    feature = vector * max(amplitude, 1.0) / vector.norm()
    run = descend(model, data, lr, steps, look_at, k=20, told=told, probe=feature, label=3)
    truth = torch.cat([first, second])
    groups = opposing_groups(run.delta, k=min(len(first), len(second)))
    score = opposing_groups(run.delta).score
    assert run.vector is not None
    slopes = sample_slopes(model, losses_of, data, run.vector)
    keep = torch.ones(len(inputs), dtype=torch.bool)
    keep[truth] = False
    without = top_hessian_eig(model, F.cross_entropy, (inputs[keep], targets[keep]), tol=0.02)
    one, other = eigen_alignment(model, F.cross_entropy, data, (first, second), run.vector)
    return Planted(
        run=run,
        images=images,
        data=data,
        first=first,
        second=second,
        vector=vector,
        precision=_precision(score, truth),
        precision_slopes=_precision(slopes.abs(), truth),
        purity=min(_purity(side, first, second)[0] for side in (groups.up, groups.down)),
        swap=_swap(run.delta, first, second),
        alignment=(one, other),
        gradient_cosine=group_gradient_cosine(model, F.cross_entropy, data, first, second),
        sharpness_without=float(without.values[0]),
    )


def _precision(score: Tensor, truth: Tensor) -> float:
    """Share of the planted samples among as many of the highest scores."""
    return float(torch.isin(score.topk(len(truth)).indices, truth).double().mean())


def _purity(members: Tensor, first: Tensor, second: Tensor) -> tuple[float, int]:
    """Share of a set that is from one planted group, and which: 0 or 1."""
    if len(members) == 0:
        return 0.0, 0
    shares = [float(torch.isin(members, group).double().mean()) for group in (first, second)]
    return max(shares), int(shares[1] > shares[0])


def _swap(delta: Tensor, first: Tensor, second: Tensor) -> float:
    """Purity of the 20 largest rises in two steps in a row, of different groups; the best pair of steps, or 0."""
    seen = [_purity(row.topk(20).indices, first, second) for row in delta]
    return max((min(a[0], b[0]) * (a[1] != b[1]) for a, b in pairwise(seen)), default=0.0)


@dataclass(frozen=True)
class Natural:
    """Pictures as they are: the run, its most opposed look, and there the sharpness on all samples, without the groups,
    and without as many random ones."""

    run: Descent
    best: Look
    span: float
    """Least length over the two groups of their unit gradients within the three sharpest directions."""
    on_all: float
    without_groups: float
    without_random: float


def natural(
    data: Data,
    seed: int,
    lr: float,
    steps: int,
    width: int,
    checks: Sequence[int],
    told: Callable[[float], None] = lambda share: None,
) -> Natural:
    """Train on pictures; the best look has the most opposed gradients, and the intervention is at its weights."""
    inputs, targets = data
    model = network([inputs.shape[1], width, width, 10], seed)
    run = descend(model, data, lr, steps, checks, k=20, told=told)
    late = [look for look in run.looks if look.step > steps / 2] or run.looks
    best = min(late, key=lambda look: look.gradient_cosine)
    nn.utils.vector_to_parameters(best.weights, model.parameters())
    found = torch.cat([best.up, best.down])
    random = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))[: len(found)]
    values = []
    for out in (found[:0], found, random):
        keep = torch.ones(len(inputs), dtype=torch.bool)
        keep[out] = False
        values.append(float(top_hessian_eig(model, F.cross_entropy, (inputs[keep], targets[keep]), tol=1e-2).values[0]))
    top = top_hessian_eig(model, F.cross_entropy, data, k=3, tol=1e-2).vectors
    gradients = [group_gradient(model, F.cross_entropy, data, group) for group in (best.up, best.down) if len(group)]
    span = min((float((top @ g).norm() / g.norm()) for g in gradients), default=float("nan"))
    return Natural(run, best, span, *values)
