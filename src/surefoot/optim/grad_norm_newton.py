"""Gradient-normalised Newton steps as an optimiser: full batch, no rate to tune.

Semenov, Jaggi, Doikov, ICLR 2026, arXiv 2506.13710; the search is :func:`surefoot.solvers.gradient_normalized.search`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from surefoot.autodiff.composite import graph_hessian, graph_hessian_matrix, graph_sandwich
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.autodiff.operator import CallableOperator
from surefoot.autodiff.parameters import flatten, unflatten
from surefoot.optim.closures import backward_left_to_step, loss_with_graph
from surefoot.solvers.gradient_normalized import search
from surefoot.solvers.shifted import Curvature, LowRank, Metric

Hessian = Literal["exact", "ggn", "fisher"]
Solver = Literal["auto", "cholesky", "woodbury", "cg"]
DENSE = 1500  # parameters up to which the matrix is formed and factorised


@dataclass(frozen=True)
class Step:
    """One accepted step: value and dual gradient norm before it, its γ, the trials and the linear systems it took."""

    loss: float
    grad_norm: float
    gamma: float
    probes: int
    solves: int


class GradNormNewton(Optimizer):
    """Newton's method damped by ‖g‖* / γ, with γ found by halving and doubling.

    Full batch: the closure is called several times a step and must see the same data each time. It returns the loss,
    or ``(loss, outputs)`` where ``hessian`` is ``"ggn"`` or ``"fisher"``, and calls no ``backward``:

        optimizer = GradNormNewton(model.parameters())
        loss = optimizer.step(lambda: loss_fn(model(x), y))

    Parameters
    ----------
    params : all in one group of one dtype, best float64
    hessian : ``"exact"``; ``"ggn"``: without the model's own curvature; ``"fisher"``: mean of the samples' squared
        gradients (the empirical one; poor where the loss stays large); or a function of the loss (with its graph) that
        gives a matrix, a ``LowRank`` or v → H v
    metric : B as a diagonal or a matrix over all parameters; None for the identity
    gamma0, gamma_min, max_probes : of the search; γ₀ is a radius in weight space
    solver : ``"cholesky"`` forms the matrix, ``"woodbury"`` the factor of ``"fisher"``, ``"cg"`` products alone;
        (conjugate gradients; what the first trial of a step multiplied serves the next ones). ``"auto"`` takes the
        first that is cheap: Cholesky up to 1,500 parameters, Woodbury for ``"fisher"`` with fewer samples than
        parameters, else CG
    grad_tol : a gradient below this is left as it is

    Attributes
    ----------
    history : a :class:`Step` for each one taken
    status : ``"running"``, ``"converged"``, ``"search_failed"`` or ``"nonfinite"``: from then on steps change nothing

    Raises
    ------
    ValueError
        For several groups, γ₀ ≤ 0, an unknown ``hessian`` or ``solver``, a metric that is not positive definite, a
        closure that returns something else.
    RuntimeError
        If the closure ran ``backward``.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        hessian: Hessian | Callable[[Tensor], Curvature] = "exact",
        metric: Tensor | None = None,
        gamma0: float = 1.0,
        gamma_min: float = 1e-9,
        max_probes: int = 40,
        solver: Solver = "auto",
        grad_tol: float = 1e-8,
    ) -> None:
        if not gamma0 > 0 or not gamma_min > 0:
            raise ValueError(f"gamma0, gamma_min: got {gamma0}, {gamma_min}; must be positive")
        if max_probes < 1:
            raise ValueError(f"max_probes: got {max_probes}; must be at least 1")
        if not callable(hessian) and hessian not in ("exact", "ggn", "fisher"):
            raise ValueError(f"hessian: got {hessian!r}; must be 'exact', 'ggn', 'fisher' or a function of the loss")
        if solver not in ("auto", "cholesky", "woodbury", "cg"):
            raise ValueError(f"solver: got {solver!r}; must be 'auto', 'cholesky', 'woodbury' or 'cg'")
        if solver == "woodbury" and hessian != "fisher":
            raise ValueError("solver: 'woodbury' needs a factor of the Hessian: use hessian='fisher'")
        super().__init__(params, {"gamma_min": gamma_min, "max_probes": max_probes, "grad_tol": grad_tol})
        if len(self.param_groups) > 1:
            raise ValueError(
                f"params: got {len(self.param_groups)} groups; one curvature holds for all: give one group"
            )
        self._hessian, self._solver = hessian, solver
        self._metric = Metric(metric)
        self.state[self.param_groups[0]["params"][0]] = {"gamma": gamma0}
        self.history: list[Step] = []
        self.status = "running"

    @property
    def gamma(self) -> float:
        """Where the next search begins: about the radius in which a linear model of the gradient holds."""
        return float(self._state["gamma"])

    @property
    def _state(self) -> dict[str, Any]:
        return self.state[self.param_groups[0]["params"][0]]

    def step(self, closure: Callable[[], Any] | None = None) -> Tensor:  # type: ignore[override]
        """One accepted step; the loss before it."""
        if closure is None:
            raise ValueError(
                "closure: is missing; step() needs a function that returns the loss of the same full batch"
            )
        group = self.param_groups[0]
        parameters = [p for p in group["params"] if p.requires_grad]
        with torch.enable_grad(), differentiable_kernels():
            loss, outputs = self._evaluated(closure)
            slope, curvature = self._curvature(loss, outputs, parameters)
        here = flatten(parameters, parameters).detach().clone()
        norm = self._metric.dual_norm(slope)
        if not math.isfinite(float(loss.detach())) or not math.isfinite(norm):
            self.status = "nonfinite"
        elif norm <= group["grad_tol"]:
            self.status = "converged"
        else:
            trial = search(
                lambda x: self._trial(x, here, closure, parameters),
                here, float(loss.detach()), slope, curvature, self._metric, self.gamma,
                gamma_min=group["gamma_min"], max_probes=group["max_probes"],
            )  # fmt: skip
            if trial is not None:
                _put(parameters, trial.x)
            self.status = "search_failed" if trial is None else "running"
            if trial is not None:
                radius = norm / trial.damping
                self.history.append(Step(float(loss.detach()), norm, radius, trial.probes, trial.solves))
                self._state["gamma"] = trial.gamma
        return loss.detach()

    def _trial(
        self, x: Tensor, here: Tensor, closure: Callable[[], Any], parameters: Sequence[Tensor]
    ) -> tuple[float, Tensor]:
        """Value and gradient at x; the parameters are back at ``here`` afterwards.

        The curvature's graph holds them, and the next trial may go through it again: with the same values, so that
        autograd need not know that they were changed meanwhile.
        """
        with torch.autograd._unsafe_preserve_version_counter(tuple(parameters)):
            try:
                _put(parameters, x)
                with torch.enable_grad():
                    loss, _ = self._evaluated(closure)
                    slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
            finally:
                _put(parameters, here)
        return float(loss.detach()), flatten(slopes, parameters)

    def _evaluated(self, closure: Callable[[], Any]) -> tuple[Tensor, Tensor | None]:
        found = closure()
        loss, outputs = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        if self._hessian in ("ggn", "fisher") and not isinstance(outputs, Tensor):
            raise ValueError(f"closure: hessian={self._hessian!r} needs the model's outputs: return (loss, outputs)")
        return loss_with_graph(loss), outputs

    def _curvature(
        self, loss: Tensor, outputs: Tensor | None, parameters: Sequence[Tensor]
    ) -> tuple[Tensor, Curvature]:
        """Gradient and H, in the form that the solver takes."""
        size = sum(p.numel() for p in parameters)
        free = self._solver == "cg" or (self._solver == "auto" and size > DENSE)
        with backward_left_to_step():
            if self._hessian == "exact" and not free:
                return graph_hessian_matrix(loss, parameters)
            slope, product = graph_hessian(loss, parameters)
        if callable(self._hessian):
            return slope, self._hessian(loss)
        if self._hessian == "exact":
            return slope, product
        assert outputs is not None
        fisher, rows = self._hessian == "fisher", len(outputs)
        if fisher and (self._solver == "woodbury" or (self._solver == "auto" and rows < size)):
            return slope, LowRank(_sample_gradients(loss, outputs, parameters).T / math.sqrt(rows))
        product = _sandwich(loss, outputs, parameters, fisher)
        if free:
            return slope, product
        return slope, CallableOperator(product, size, slope.dtype, slope.device).dense(force=True)


def _put(parameters: Sequence[Tensor], vector: Tensor) -> None:
    with torch.no_grad():
        for parameter, piece in zip(parameters, unflatten(vector, parameters), strict=True):
            parameter.copy_(piece)


def _slope_of_outputs(loss: Tensor, outputs: Tensor, graph: bool) -> Tensor:
    (slope,) = torch.autograd.grad(loss, outputs, create_graph=graph, retain_graph=True)
    return slope


def _sandwich(
    loss: Tensor, outputs: Tensor, parameters: Sequence[Tensor], fisher: bool
) -> Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]:
    """v → Jᵀ M J v through the graph of the outputs; M is the loss's curvature in them, or its rows' squared slopes."""
    top = _slope_of_outputs(loss, outputs, graph=not fisher)
    rows = len(outputs)

    def middle(moved: Tensor) -> Tensor:
        if fisher:  # (1/n) Σ (n·s)(n·s)ᵀ, s the slope of the mean
            along = (top * moved).reshape(rows, -1).sum(dim=1).reshape(-1, *[1] * (outputs.dim() - 1))
            return rows * top * along
        if not top.requires_grad:
            return torch.zeros_like(moved)
        return torch.autograd.grad(top, outputs, moved, retain_graph=True)[0]

    product = graph_sandwich(outputs, parameters, middle)
    return lambda vector: flatten(product(unflatten(vector, parameters)), parameters)


def _sample_gradients(loss: Tensor, outputs: Tensor, parameters: Sequence[Tensor]) -> Float[Tensor, "rows n"]:
    """Each row's own gradient, for a loss that is the mean over rows."""
    top = len(outputs) * _slope_of_outputs(loss, outputs, graph=False)
    found = []
    for i in range(len(outputs)):
        row = torch.zeros_like(outputs)
        row[i] = top[i]
        slopes = torch.autograd.grad(outputs, parameters, row, retain_graph=True, allow_unused=True)
        found.append(flatten(slopes, parameters))
    return torch.stack(found)
