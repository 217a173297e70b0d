"""Let a state settle to the minimum of F = E + β C, by the method that serves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from surefoot.nn.eqprop.energies import EnergyModel, State
from surefoot.nn.eqprop.methods import METHODS, Method, Total, iteration


class SettleError(RuntimeError):
    """The state became non-finite; the message names the last iteration at which it was finite."""


@dataclass(frozen=True)
class Settling:
    """How a state settles.

    Parameters
    ----------
    max_iter : iterations, all taken unless ``tol`` is reached before
    step : ε of the projected Euler step s ← clip(s − ε ∂F/∂s); converges for ε < 2/(1 + λ_max + |β|)
    tol : stop once the residual max |clip(s − ε ∂F/∂s) − s| is at most this; 0 never looks
    method : ``"euler"`` as in the paper; ``"fista"`` with Nesterov's momentum; ``"alternate"`` minimises even and odd
        layers in turn, exactly (hard-sigmoid Hopfield models with squared error; needs several times fewer iterations
        and no ε); ``"newton"`` solves with the dense Hessian of each sample, damped so that F falls (smooth models,
        small states)

    Raises
    ------
    ValueError
        For a number out of range or an unknown method.
    """

    max_iter: int = 20
    step: float = 0.5
    tol: float = 0.0
    method: Method = "euler"

    def __post_init__(self) -> None:
        if self.max_iter < 1:
            raise ValueError(f"max_iter: got {self.max_iter}; use at least 1")
        if not self.step > 0:
            raise ValueError(f"step: got {self.step}; use a positive number, 0.5 as in the paper")
        if not self.tol >= 0:
            raise ValueError(f"tol: got {self.tol}; use 0 for none, or a positive number such as 1e-4")
        if self.method not in METHODS:
            raise ValueError(f"method: got {self.method!r}; use one of {', '.join(METHODS)}")


@dataclass(frozen=True)
class SettleResult:
    """A settled state.

    Attributes
    ----------
    state : one tensor a layer, samples first
    residual : max |clip(s − ε ∂F/∂s) − s| at the end
    iterations : how many were taken
    converged : the residual is at most ``tol`` (False where ``tol`` is 0)
    path : the states from the start to the end, where they were asked for
    """

    state: State
    residual: float
    iterations: int
    converged: bool
    path: tuple[State, ...] = ()

    @property
    def output(self) -> Tensor:
        """The last layer."""
        return self.state[-1]


def settle(
    model: EnergyModel,
    x: Tensor,
    state: State | None = None,
    *,
    beta: float = 0.0,
    cost: nn.Module | None = None,
    target: Tensor | None = None,
    how: Settling | None = None,
    keep_path: bool = False,
) -> SettleResult:
    """Settle to the minimum of E + β C from ``state`` (by default the model's initial one).

    Parameters
    ----------
    model, x : the energy, and its clamped input, samples first
    beta : how strongly the output is pulled: towards ``target`` for β > 0, away from it for β < 0
    cost, target : needed for β ≠ 0
    how : method, iterations, tolerance
    keep_path : keep every state on the way

    Raises
    ------
    SettleError
        If the state becomes non-finite.
    ValueError
        If a nudge has no target, the state is none of the model's, or the method does not fit the model.

    Source: arXiv 1602.05179, section 2 (fixed points), section 5.2 (discretisation).
    """
    how = how or Settling()
    with torch.no_grad():
        total = Total(model, x, beta, cost, target)
        start = model.clip(_starting(model, x, state))
        advance = iteration(how.method, total, how.step)
        path = [start] if keep_path else []
        now, ahead, taken, residual = start, None, 0, torch.inf
        while taken < how.max_iter:
            now = advance(now) if ahead is None else ahead
            taken += 1
            if keep_path:
                path.append(now)
            if how.tol:
                moved = total.euler_step(now, how.step)
                residual = _farthest(moved, now)
                if not residual > how.tol:
                    break
                ahead = moved if how.method == "euler" else None  # what was looked at is the next state
        if not how.tol:
            residual = _farthest(total.euler_step(now, how.step), now)
    if residual != residual or not all(bool(s.isfinite().all()) for s in now):
        raise SettleError(_last_finite(total, start, how))
    return SettleResult(now, residual, taken, bool(how.tol) and residual <= how.tol, tuple(path))


def _starting(model: EnergyModel, x: Tensor, state: State | None) -> State:
    initial = model.initial(x if state is None else x[:1])
    if state is None:
        return initial
    given, wanted = [tuple(s.shape) for s in state], [(len(x), *s.shape[1:]) for s in initial]
    if given != wanted:
        raise ValueError(f"state: got shapes {given}; this model with {len(x)} samples has {wanted}")
    return [s.detach() for s in state]


def _farthest(a: State, b: State) -> float:
    return float(torch.stack([(p - q).abs().max() for p, q in zip(a, b, strict=True)]).max())


def _last_finite(total: Total, state: State, how: Settling) -> str:
    """Settle again, looking at every state: only a run that failed pays for it."""
    with torch.no_grad():
        advance = iteration(how.method, total, how.step)
        for taken in range(how.max_iter):
            if not all(bool(s.isfinite().all()) for s in state):
                return f"the state is not finite after iteration {taken} (finite before); use a smaller step or beta"
            state = advance(state)
    return f"the forces at the state of iteration {how.max_iter} are not finite; use a smaller step or beta"
