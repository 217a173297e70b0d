"""What the study of the Hessian trains and measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.curvature import PathResult, linear_path, outliers
from surefoot.autodiff import (
    GGNOperator,
    HessianOperator,
    SpectralDensity,
    extreme_eigenpairs,
    spectral_density,
    trace,
)
from surefoot.studies.problems.digits import digits

FEATURES, CLASSES = 16, 10


def clusters(classes: int, rows: int, separation: float, seed: int, features: int = FEATURES) -> tuple[Tensor, Tensor]:
    """Gaussians of unit variance around ``separation`` times the first unit vectors; label i mod classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    x[torch.arange(rows), y] += separation
    return x, y


def mlp(sizes: Sequence[int], seed: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """ReLU layers of these widths in torch's default initialisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def descend(
    model: nn.Module, x: Tensor, y: Tensor, steps: int, lr: float, momentum: float, until: float = 0.0
) -> float:
    """Full-batch SGD on the cross-entropy; stops below ``until``; the last loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum)
    loss = F.cross_entropy(model(x), y)
    for _ in range(steps):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss = F.cross_entropy(model(x), y)
        if loss.item() < until:
            break
    return loss.item()


@dataclass(frozen=True)
class Outliers:
    """Largest eigenvalues of one trained net, how many stand apart, and by which factor."""

    values: np.ndarray
    count: int
    gap: float
    loss: float
    parameters: int


def outliers_of(classes: int, width: int, seed: int) -> Outliers:
    """Train for 40 steps on clusters and look at the largest eigenvalues."""
    x, y = clusters(classes, 600, 4.0, seed)
    model = mlp((FEATURES, width, width, CLASSES), seed)
    loss = descend(model, x, y, 40, 0.05, 0.9)
    operator = HessianOperator(model, F.cross_entropy, (x, y))
    found = extreme_eigenpairs(operator, 2 * CLASSES, "LA", tol=1e-3, seed=seed)
    values = found.values.numpy()
    return Outliers(values, *outliers(values), loss, operator.size)


def dense_spectrum(width: int, seed: int) -> tuple[np.ndarray, HessianOperator]:
    """All eigenvalues of the ten-class net of a width, after 40 steps."""
    x, y = clusters(CLASSES, 600, 4.0, seed)
    model = mlp((FEATURES, width, width, CLASSES), seed)
    descend(model, x, y, 40, 0.05, 0.9)
    operator = HessianOperator(model, F.cross_entropy, (x, y))
    return torch.linalg.eigvalsh(operator.dense()).numpy(), operator


def flat_share(values: np.ndarray) -> float:
    """Share of eigenvalues within a twentieth of the largest of zero."""
    return float((np.abs(values) < 0.05 * values.max()).mean())


def quadrature_error(
    values: np.ndarray, operator: HessianOperator, seed: int, steps: int = 60
) -> tuple[float, SpectralDensity]:
    """Largest error of the estimated distribution function, and the density, from four probes of so many products."""
    density = spectral_density(operator, probes=4, steps=steps, deflate=12, seed=seed)
    ordered = np.sort(values)
    at = np.linspace(1.1 * ordered[0], 1.01 * ordered[-1], 2000)
    exact = np.searchsorted(ordered, at, side="right") / len(ordered)
    return float(np.abs([density.cdf(t) for t in at] - exact).max()), density


def trace_error(values: np.ndarray, operator: HessianOperator, seed: int) -> float:
    """The trace's error in standard errors."""
    found = trace(operator, n=100, seed=seed)
    return abs(found.value - values.sum()) / found.stderr


def rest_of_hessian(seed: int) -> tuple[float, float]:
    """‖H − G‖ / ‖H‖ of a net that fits its data, and its loss."""
    x, y = clusters(CLASSES, 300, 3.0, seed, features=CLASSES)
    model = mlp((CLASSES, 12, 12, CLASSES), seed)
    loss = descend(model, x, y, 8000, 0.1, 0.9, until=0.004)
    hessian = HessianOperator(model, F.cross_entropy, (x, y)).dense()
    ggn = GGNOperator(model, F.cross_entropy, (x, y)).dense()
    return float((hessian - ggn).norm() / hessian.norm()), loss


@dataclass(frozen=True)
class Basins:
    """Paths between solutions of one problem, and the losses and accuracies at their ends."""

    continued: PathResult
    same_start: PathResult
    other_start: PathResult
    large_batch_loss: float
    continued_loss: float
    test: tuple[float, float]


def basins(seed: int, large_steps: int = 600, small_steps: int = 4000) -> Basins:
    """Large batch, its continuation by small batches, small batches from the same and from another start."""
    data = digits(seed, test_share=1 / 3)
    x, y = data.x_train, data.y_train
    sizes = (64, 64, 64, 10)

    def small(model: nn.Module) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(small_steps):
            rows = torch.randint(len(x), (8,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        return {name: value.clone() for name, value in model.state_dict().items()}

    model = mlp(sizes, seed, torch.float32)
    descend(model, x, y, large_steps, 0.1, 0.0)
    large = {name: value.clone() for name, value in model.state_dict().items()}
    further = small(model)
    same = small(mlp(sizes, seed, torch.float32))
    other = small(mlp(sizes, seed + 1000, torch.float32))
    pairs = ((large, further), (large, same), (same, other))
    onward, beside, apart = (linear_path(model, a, b, F.cross_entropy, (x, y), n=11) for a, b in pairs)
    test = (data.x_test, data.y_test)
    ends = linear_path(model, large, further, F.cross_entropy, test, n=2).accuracy
    assert ends is not None
    losses = float(onward.loss[0]), float(onward.loss[-1])
    return Basins(onward, beside, apart, *losses, (float(ends[0]), float(ends[1])))
