"""The problems of the study of gradient-normalised Newton steps, and how the methods fare on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefoot.solvers import GNSResult, LogisticRegression, LogSumExp, LowRank, PowerResidual, minimize
from surefoot.solvers.gradient_normalized import Doubling
from surefoot.solvers.shifted import Curvature, Metric

Hess = Callable[[Tensor], Curvature]
PUBLISHED: Doubling = "always"
GAP = 1e-8
PAPERS_SEED = 3124


def rosenbrock(x: Tensor) -> Tensor:
    """The two residuals of Rosenbrock's valley."""
    return torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2)])


def valley(p: float, doubling: Doubling = PUBLISHED) -> dict[str, GNSResult]:
    """‖u‖^p / p from (−2, 2)."""
    problem = PowerResidual(rosenbrock, p)
    start = torch.tensor([-2.0, 2.0], dtype=torch.float64)
    return {
        name: minimize(problem.f, start, problem.grad, hess, target=GAP, grad_tol=0.0, doubling=doubling)
        for name, hess in (("exact Hessian", problem.hess), ("without the residuals' curvature", problem.inexact))
    }


def flat(x: Tensor) -> LowRank:
    """No curvature: the gradient method with the same search."""
    return LowRank(torch.zeros(len(x), 1, dtype=x.dtype))


@dataclass(frozen=True)
class SumExp:
    """How Newton steps fare on log-sum-exp, and the gradient methods: their values, in the metric AᵀA and without."""

    newton: dict[str, GNSResult]
    gradient: dict[str, list[float]]
    least: float


def log_sum_exp(n: int, seed: int, doubling: Doubling = PUBLISHED) -> SumExp:
    """The paper's log-sum-exp with its minimum at 0, from ones."""
    rng = np.random.RandomState(PAPERS_SEED + seed)
    columns, b = rng.rand(n, n) * 2 - 1, rng.rand(n) * 2 - 1
    rows = torch.tensor(columns.T.copy())
    offset = torch.tensor(b)
    zero = torch.zeros(n, dtype=torch.float64)
    centred = LogSumExp(rows - LogSumExp(rows, offset).grad(zero), offset)
    least, metric = float(centred.f(zero)), rows.T @ rows
    start, target = torch.ones(n, dtype=torch.float64), least + GAP
    newton = {
        name: minimize(centred.f, start, centred.grad, hess, metric, target=target, grad_tol=0.0, doubling=doubling)
        for name, hess in (("exact Hessian", centred.hess), ("weighted Gauss-Newton", centred.weighted_gn))
    }
    gradient = {
        "gradient, same metric": gradient_method(centred, start, Metric(metric), target),
        "gradient": gradient_method(centred, start, Metric(), target),
    }
    return SumExp(newton, gradient, least)


def gradient_method(problem: LogSumExp, x: Tensor, metric: Metric, target: float, steps: int = 1000) -> list[float]:
    """Values of the authors' gradient method: 1/L by halving L after each step and doubling it until the value falls by
    ‖g‖*² / (2L)."""
    values, lipschitz = [float(problem.f(x))], 1.0
    while values[-1] > target and len(values) <= steps:
        slope = problem.grad(x)
        direction = metric.inverse(slope)
        while True:
            there = x - direction / lipschitz
            value = float(problem.f(there))
            if value <= values[-1] - float(slope @ direction) / (2 * lipschitz):
                break
            lipschitz *= 2
        x, lipschitz = there, lipschitz / 2
        values.append(value)
    return values


def standardised(name: str) -> tuple[Tensor, Tensor]:
    """Breast cancer, or the digits 0 and 1: standardised columns and a bias; labels −1 and 1."""
    from sklearn.datasets import load_breast_cancer, load_digits

    if name == "breast cancer":
        x, y = load_breast_cancer(return_X_y=True)
    else:
        x, y = load_digits(n_class=2, return_X_y=True)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return torch.tensor(np.c_[x, np.ones(len(x))]), torch.tensor(2 * y - 1)


def logistic(name: str) -> tuple[LogisticRegression, int, float]:
    """The regression, its columns, and the largest norm of a row."""
    rows, y = standardised(name)
    return LogisticRegression(rows, y), rows.shape[1], float(rows.norm(dim=1).max())


def fit(
    problem: LogisticRegression,
    columns: int,
    hess: Hess,
    steps: int,
    grad_tol: float = 1e-8,
    doubling: Doubling = PUBLISHED,
) -> GNSResult:
    """From zero."""
    start = torch.zeros(columns, dtype=torch.float64)
    return minimize(problem.f, start, problem.grad, hess, grad_tol=grad_tol, max_iter=steps, doubling=doubling)


@dataclass(frozen=True)
class RankOne:
    """Steps and seconds of the exact Hessian and of its rank-one part on ‖Ax − b‖⁴ / 4."""

    exact: GNSResult
    fisher: GNSResult
    exact_seconds: float
    fisher_seconds: float


def quartic(rows: int, columns: int, seed: int) -> RankOne:
    """An underdetermined system's residual to the fourth power, both in the metric AᵀA + 1e-8."""
    rng = np.random.RandomState(PAPERS_SEED + seed)
    a = torch.tensor(rng.rand(rows, columns) * 2 - 1)
    b = torch.tensor(rng.rand(rows) * 2 - 1)
    problem = PowerResidual(lambda x: a @ x - b, 4, linear=True)
    metric = a.T @ a + 1e-8 * torch.eye(columns, dtype=torch.float64)
    start = torch.ones(columns, dtype=torch.float64)

    def timed(hess: Hess) -> tuple[GNSResult, float]:
        begin = time.perf_counter()
        found = minimize(
            problem.f, start, problem.grad, hess, metric, target=GAP, grad_tol=0.0, max_iter=200, doubling=PUBLISHED
        )
        return found, time.perf_counter() - begin

    (exact, exact_seconds), (fisher, fisher_seconds) = timed(problem.hess), timed(problem.fisher)
    return RankOne(exact, fisher, exact_seconds, fisher_seconds)


def perturbed(scale: float, seed: int) -> int:
    """Steps on breast cancer with H + scale · ‖∇f‖ · E, E positive semi-definite of norm 1."""
    problem, columns, _ = logistic("breast cancer")
    root = torch.randn(columns, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = root @ root.T
    noise /= torch.linalg.matrix_norm(noise, 2)
    return fit(problem, columns, lambda x: problem.hess(x) + scale * problem.grad(x).norm() * noise, 400).nit
