"""The problems of the study of gradient-normalised Newton steps, and how the methods fare on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefoot.solvers import GNSResult, LogisticRegression, LogSumExp, LowRank, PowerResidual, minimize
from surefoot.solvers.shifted import Curvature

Hess = Callable[[Tensor], Curvature]
GAP = 1e-8
PAPERS_SEED = 3124


def rosenbrock(x: Tensor) -> Tensor:
    """The two residuals of Rosenbrock's valley."""
    return torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2)])


def valley(p: float) -> dict[str, GNSResult]:
    """‖u‖^p / p from (−2, 2)."""
    problem = PowerResidual(rosenbrock, p)
    start = torch.tensor([-2.0, 2.0], dtype=torch.float64)
    return {
        "exact Hessian": minimize(problem.f, start, problem.grad, problem.hess, target=GAP, grad_tol=0.0),
        "without the residuals' curvature": minimize(
            problem.f, start, problem.grad, problem.inexact, target=GAP, grad_tol=0.0
        ),
    }


def flat(x: Tensor) -> LowRank:
    """No curvature: the gradient method with the same search."""
    return LowRank(torch.zeros(len(x), 1, dtype=x.dtype))


def log_sum_exp(n: int, seed: int) -> tuple[dict[str, GNSResult], float]:
    """The paper's log-sum-exp with its minimum at 0, from ones; and the minimum."""
    rng = np.random.RandomState(PAPERS_SEED + seed)
    columns, b = rng.rand(n, n) * 2 - 1, rng.rand(n) * 2 - 1
    rows = torch.tensor(columns.T.copy())
    offset = torch.tensor(b)
    zero = torch.zeros(n, dtype=torch.float64)
    centred = LogSumExp(rows - LogSumExp(rows, offset).grad(zero), offset)
    least, metric = float(centred.f(zero)), rows.T @ rows
    arms: dict[str, tuple[Hess, Tensor | None]] = {
        "exact Hessian": (centred.hess, metric),
        "weighted Gauss-Newton": (centred.weighted_gn, metric),
        "gradient, same metric": (flat, metric),
        "gradient": (flat, None),
    }
    found = {
        name: minimize(
            centred.f, torch.ones(n, dtype=torch.float64), centred.grad, hess, space, target=least + GAP, grad_tol=0.0
        )
        for name, (hess, space) in arms.items()
    }
    return found, least


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


def fit(problem: LogisticRegression, columns: int, hess: Hess, steps: int, grad_tol: float = 1e-8) -> GNSResult:
    """From zero."""
    start = torch.zeros(columns, dtype=torch.float64)
    return minimize(problem.f, start, problem.grad, hess, grad_tol=grad_tol, max_iter=steps)


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
        found = minimize(problem.f, start, problem.grad, hess, metric, target=GAP, grad_tol=0.0, max_iter=200)
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
