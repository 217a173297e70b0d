"""Newton's method with a damping proportional to the gradient's norm: no tuning, and an approximate Hessian serves.

Semenov, Jaggi, Doikov, "Gradient-Normalized Smoothness for Optimization with Approximate Hessians", ICLR 2026, arXiv
2506.13710. With H positive semi-definite and a metric B, a step is −(H + λB)⁻¹ g, λ = ‖g‖* / γ: never longer than γ.
γ is halved until the step makes the progress that its smoothness allows,

    f(x) − f(x⁺) ≥ ‖g⁺‖*² / (8λ),                                                                                  (P)

and doubled after a step that was accepted. γ is the radius in which the linear model of the gradient holds.

As published it doubles after every step, and the next trial then mostly fails: two linear systems a step. Here, unless
asked for that, it doubles where the step made the progress that 2γ promises; otherwise it stays. (P), and all that
follows from it, holds for each accepted step either way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.plots import figure
from surefoot.solvers.shifted import Curvature, LowRank, Metric, ShiftedSystem, symmetric

if TYPE_CHECKING:
    import plotly.graph_objects as go

Status = Literal["converged", "max_iter", "search_failed", "nonfinite"]
Doubling = Literal["earned", "always"]
Vector = Float[Tensor, " n"]
_GUARD = 1e-8  # in the damping's denominator
_ROUNDING = 1e-14  # relative difference of two values below which it says nothing


def progress_condition(f0: float, f1: float, g0: float, g1: float, gamma: float) -> bool:
    """(P): whether a step from value f0 and gradient norm g0 to f1 and g1 made the progress that γ promises.

    Source: Lemma 1; norms are dual to the metric, and the new one is squared over the old.
    """
    if not (math.isfinite(f1) and math.isfinite(g1)):
        return False
    return f0 - f1 >= gamma / 8 * g1**2 / g0 if g0 > 0 else f1 <= f0


@dataclass(frozen=True)
class Trial:
    """An accepted step: where it led, and what it took."""

    x: Vector
    f: float
    gradient: Vector
    gamma: float  # for the next step
    damping: float  # of this one
    probes: int
    solves: int


def search(
    evaluate: Callable[[Vector], tuple[float, Vector]],
    x: Vector,
    f: float,
    gradient: Vector,
    curvature: Curvature,
    metric: Metric,
    gamma: float,
    *,
    gamma_min: float = 1e-9,
    max_probes: int = 40,
    doubling: Doubling = "earned",
) -> Trial | None:
    """One step of the adaptive search; None if no γ down to its floor makes progress.

    Parameters
    ----------
    evaluate : x → value and gradient; a value that is not finite rejects the trial
    x, f, gradient, curvature : the point, and H there; symmetric, and positive semi-definite up to what the damping
        lifts: where H + λB is not, λ is made four times larger
    metric : B
    gamma : where the search begins
    doubling : of γ for the next step: ``"earned"`` by progress that would do for 2γ, or ``"always"``, as published
    """
    size = metric.dual_norm(gradient)
    system = ShiftedSystem(curvature, gradient, metric, min(0.1, math.sqrt(size)))
    for probe in range(1, max_probes + 1):
        damping = size / (gamma + _GUARD)
        step = system.solve(damping)
        if step is None:
            gamma /= 4
            continue
        there = x - step
        value, slope = evaluate(there)
        if _accepted(f, value, size, metric, slope, step, damping):
            earned = doubling == "always" or _accepted(f, value, size, metric, slope, step, damping / 2)
            following = max(2 * gamma if earned else gamma, gamma_min)
            return Trial(there, value, slope, following, damping, probe, system.solves)
        if gamma <= gamma_min:
            return None
        gamma = max(gamma / 2, gamma_min)
    return None


def _accepted(f: float, value: float, size: float, metric: Metric, slope: Tensor, step: Tensor, damping: float) -> bool:
    if not math.isfinite(value) or not bool(torch.isfinite(slope).all()):
        return False
    new = metric.dual_norm(slope)
    if abs(f - value) <= _ROUNDING * max(abs(f), abs(value)):
        # two values that differ by rounding alone: the same progress told by gradients
        return new == 0 or float(slope @ step) >= new**2 / (4 * damping)
    return progress_condition(f, value, size, new, size / damping)


@dataclass(frozen=True)
class GNSResult:
    """What :func:`minimize` found.

    Attributes
    ----------
    x, fun, grad_norm : the last point, its value, the dual norm of its gradient
    status : ``"converged"`` (gradient or value below the bound), ``"max_iter"``, ``"search_failed"`` (no damping made
        progress), ``"nonfinite"`` (value or gradient at the start are not finite)
    nit, n_solves : accepted steps, and linear systems solved
    values, grad_norms : of the start and after each step
    gamma_history : the γ accepted at each step
    probes : trials of each step
    """

    x: Vector
    fun: float
    grad_norm: float
    status: Status
    nit: int
    n_solves: int
    values: tuple[float, ...]
    grad_norms: tuple[float, ...]
    gamma_history: tuple[float, ...]
    probes: tuple[int, ...]

    @property
    def success(self) -> bool:
        """Whether it converged."""
        return self.status == "converged"

    def plot(self) -> go.Figure:
        """Gradient norm and γ over the steps."""
        steps = list(range(len(self.values)))
        traces = [
            {"type": "scatter", "x": steps, "y": list(self.grad_norms), "name": "gradient norm"},
            {"type": "scatter", "x": steps[1:], "y": list(self.gamma_history), "name": "γ"},
        ]
        return figure(traces, title="Gradient-normalised Newton", x="step", log_y=True)


@dataclass
class _Log:
    values: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    gammas: list[float] = field(default_factory=list)
    probes: list[int] = field(default_factory=list)
    solves: int = 0


def minimize(
    fun: Callable[[Vector], Tensor],
    x0: Vector,
    jac: Callable[[Vector], Vector] | None = None,
    hess: Callable[[Vector], Curvature] | None = None,
    metric: Float[Tensor, " n"] | Float[Tensor, "n n"] | None = None,
    *,
    gamma0: float = 1.0,
    gamma_min: float = 1e-9,
    max_probes: int = 40,
    grad_tol: float = 1e-8,
    target: float | None = None,
    max_iter: int = 1000,
    doubling: Doubling = "earned",
) -> GNSResult:
    """Minimise a smooth function by gradient-normalised Newton steps.

    Parameters
    ----------
    fun : x → 0-d tensor
    x0 : start, best in float64
    jac : its gradient; by default autograd's
    hess : its Hessian or a positive semi-definite approximation, as a matrix, a :class:`LowRank` factor, or a function
        v → H v; by default autograd's Hessian. Evaluated once a step
    metric : B, positive definite, as a matrix or a diagonal; None for the identity
    gamma0, gamma_min, max_probes : of the search for γ
    grad_tol : stop when the dual norm of the gradient is below it
    target : stop when the value is below it
    max_iter : steps at most
    doubling : of γ, ``"earned"`` or, as published, ``"always"``: see :func:`search`

    Raises
    ------
    ValueError
        For a start that is not a floating vector, γ₀ ≤ 0, a metric that is not positive definite, a Hessian of the
        wrong shape or not symmetric.
    """
    if x0.dim() != 1 or not x0.dtype.is_floating_point:
        raise ValueError(f"x0: got {x0.dtype} of shape {tuple(x0.shape)}; must be a floating vector")
    if not gamma0 > 0:
        raise ValueError(f"gamma0: got {gamma0}; must be positive")
    if not gamma_min > 0:
        raise ValueError(f"gamma_min: got {gamma_min}; must be positive")
    if max_probes < 1 or max_iter < 0:
        raise ValueError(f"max_probes, max_iter: got {max_probes}, {max_iter}; must be at least 1 and 0")
    if doubling not in ("earned", "always"):
        raise ValueError(f"doubling: got {doubling!r}; must be 'earned' or 'always'")
    evaluate = _evaluation(fun, jac)
    space = Metric(metric)
    hessian = hess if hess is not None else torch.func.hessian(fun)
    x = x0.detach().clone()
    value, slope = evaluate(x)
    log, gamma = _Log(), gamma0

    def result(status: Status) -> GNSResult:
        return GNSResult(
            x, value, log.norms[-1], status, len(log.gammas), log.solves,
            tuple(log.values), tuple(log.norms), tuple(log.gammas), tuple(log.probes),
        )  # fmt: skip

    while True:
        log.values.append(value)
        log.norms.append(space.dual_norm(slope))
        if not math.isfinite(value) or not math.isfinite(log.norms[-1]):
            return result("nonfinite")
        if log.norms[-1] <= grad_tol or (target is not None and value <= target):
            return result("converged")
        if len(log.gammas) >= max_iter:
            return result("max_iter")
        curvature = _checked(hessian(x), len(x))
        trial = search(
            evaluate, x, value, slope, curvature, space, gamma,
            gamma_min=gamma_min, max_probes=max_probes, doubling=doubling,
        )  # fmt: skip
        if trial is None:
            log.solves += max_probes
            return result("search_failed")
        x, value, slope, gamma = trial.x, trial.f, trial.gradient, trial.gamma
        log.gammas.append(log.norms[-1] / trial.damping)
        log.probes.append(trial.probes)
        log.solves += trial.solves


def _evaluation(
    fun: Callable[[Vector], Tensor], jac: Callable[[Vector], Vector] | None
) -> Callable[[Vector], tuple[float, Vector]]:
    def by_autograd(x: Tensor) -> tuple[float, Tensor]:
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            value = fun(leaf)
            (slope,) = torch.autograd.grad(value, leaf)
        return float(value.detach()), slope

    def by_hand(x: Tensor) -> tuple[float, Tensor]:
        assert jac is not None
        return float(fun(x)), jac(x)

    return by_autograd if jac is None else by_hand


def _checked(curvature: Curvature, size: int) -> Curvature:
    if isinstance(curvature, Tensor):
        curvature = curvature.detach()
        if curvature.shape != (size, size):
            raise ValueError(f"hess: got shape {tuple(curvature.shape)}; must be ({size}, {size})")
        return symmetric(curvature, "hess")
    if isinstance(curvature, LowRank):
        if curvature.factor.dim() != 2 or len(curvature.factor) != size:
            raise ValueError(f"hess: got a factor of shape {tuple(curvature.factor.shape)}; must be ({size}, k)")
    elif not callable(curvature):
        raise ValueError(f"hess: got {type(curvature).__name__}; must be a matrix, a LowRank or a function v → H v")
    return curvature
