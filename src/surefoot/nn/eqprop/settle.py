"""Let a state settle to the minimum of F = E + β C, by the method that serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from surefoot.nn.eqprop.costs import SquaredError, nudge
from surefoot.nn.eqprop.energies import EnergyModel, LayeredHopfield, State

Method = Literal["euler", "fista", "alternate", "newton"]
METHODS: tuple[Method, ...] = ("euler", "fista", "alternate", "newton")


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
        layers in turn, exactly (a hard-sigmoid :class:`LayeredHopfield` with squared error; needs several times fewer
        iterations and no ε); ``"newton"`` solves with the dense Hessian of each sample (smooth models, small states)

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


Forces = Callable[[State], State]


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
        If a nudge has no target, or the method does not fit the model.

    Source: arXiv 1602.05179, section 2 (fixed points), section 5.2 (discretisation).
    """
    how = how or Settling()
    if beta and (cost is None or target is None):
        raise ValueError(f"beta: got {beta} without cost and target; a nudged phase needs both")
    with torch.no_grad():
        prepared = model.prepare(x)
        start = model.clip([s.detach() for s in (model.initial(x) if state is None else state)])
        forces = forces_of(model, prepared, beta, cost, target)
        advance = _advance(model, prepared, forces, beta, cost, target, how)
        path = [start] if keep_path else []
        now, taken, residual = start, 0, torch.inf
        while taken < how.max_iter:
            now = advance(now)
            taken += 1
            if keep_path:
                path.append(now)
            if how.tol:
                residual = _residual(model, now, forces, how.step)
                if not residual > how.tol:
                    break
        if not how.tol:
            residual = _residual(model, now, forces, how.step)
    if residual != residual or not all(bool(s.isfinite().all()) for s in now):
        raise SettleError(_last_finite(model, start, forces, prepared, beta, cost, target, how))
    return SettleResult(now, residual, taken, bool(how.tol) and residual <= how.tol, tuple(path))


def forces_of(model: EnergyModel, prepared: Any, beta: float, cost: nn.Module | None, target: Tensor | None) -> Forces:
    """s → −∂F/∂s."""
    if not beta:
        return lambda state: model.force(state, prepared)
    assert cost is not None and target is not None

    def forces(state: State) -> State:
        *hidden, output = model.force(state, prepared)
        return [*hidden, output - beta * nudge(cost, state[-1], target)]

    return forces


def euler_step(model: EnergyModel, state: State, forces: Forces, step: float) -> State:
    """s ← clip(s − ε ∂F/∂s)."""
    return model.clip([torch.add(s, f, alpha=step) for s, f in zip(state, forces(state), strict=True)])


def _residual(model: EnergyModel, state: State, forces: Forces, step: float) -> float:
    moved = euler_step(model, state, forces, step)
    return float(torch.stack([(m - s).abs().max() for m, s in zip(moved, state, strict=True)]).max())


def _advance(
    model: EnergyModel,
    prepared: Any,
    forces: Forces,
    beta: float,
    cost: nn.Module | None,
    target: Tensor | None,
    how: Settling,
) -> Callable[[State], State]:
    """One iteration of the method."""
    if how.method == "euler":
        return lambda state: euler_step(model, state, forces, how.step)
    if how.method == "fista":
        return _Fista(model, forces, how.step)
    if how.method == "newton":
        if not model.smooth:
            raise ValueError("method: 'newton' needs a smooth model; this one is clipped: use 'euler' or 'alternate'")
        return lambda state: _newton(state, forces)
    if not isinstance(model, LayeredHopfield) or model.smooth or (beta and not isinstance(cost, SquaredError)):
        raise ValueError(
            "method: 'alternate' needs a hard-sigmoid LayeredHopfield, and SquaredError if nudged; use 'euler'"
        )
    return lambda state: _alternate(model, state, prepared, beta, target)


class _Fista:
    """Accelerated projected gradient, started anew where the momentum points uphill (O'Donoghue, Candès 2015)."""

    def __init__(self, model: EnergyModel, forces: Forces, step: float) -> None:
        self._model, self._forces, self._step = model, forces, step
        self._before: State | None = None
        self._t = 1.0

    def __call__(self, state: State) -> State:
        before = state if self._before is None else self._before
        t = (1 + (1 + 4 * self._t**2) ** 0.5) / 2
        ahead = [s + (self._t - 1) / t * (s - b) for s, b in zip(state, before, strict=True)]
        forces = self._forces(ahead)
        new = self._model.clip([torch.add(a, f, alpha=self._step) for a, f in zip(ahead, forces, strict=True)])
        gain = sum(float((f * (n - s)).sum()) for f, n, s in zip(forces, new, state, strict=True))
        self._before, self._t = (state, t) if gain >= 0 else (None, 1.0)
        return new


def _alternate(model: LayeredHopfield, state: State, drive: Tensor, beta: float, target: Tensor | None) -> State:
    """Each layer to its exact minimum given its neighbours: first the even ones, then the odd."""
    new = list(state)
    last = len(state) - 1
    for parity in (0, 1):
        for k in range(parity, last + 1, 2):
            (value,) = model.inputs(new, drive, only=k)
            if beta and k == last:
                value = (value + beta * target) / (1 + beta)  # type: ignore[operator]
            new[k] = value.clamp(0, 1)
    return new


def _newton(state: State, forces: Forces) -> State:
    """s + H⁻¹ f with the dense Hessian of every sample, from products with the unit vectors."""
    hessian = dense_hessian(state, forces)
    flat = torch.cat([f.flatten(1) for f in forces(state)], 1)
    return split(flatten(state) + torch.linalg.solve(hessian, flat.unsqueeze(2)).squeeze(2), state)


def dense_hessian(state: State, forces: Forces) -> Tensor:
    """∂²F/∂s² of each sample, ``(batch, units, units)``."""
    flat = flatten(state)
    units = torch.eye(flat.shape[1], dtype=flat.dtype, device=flat.device)
    columns = [
        hessian_product(
            state, forces, [part.expand_as(s) for part, s in zip(split(u[None], state, 1), state, strict=True)]
        )
        for u in units
    ]
    return torch.stack([flatten(column) for column in columns], 2)


def hessian_product(state: State, forces: Forces, vector: State) -> State:
    """H v of each sample: minus the derivative of the forces along v."""
    tangent = torch.func.jvp(lambda *s: tuple(forces(list(s))), tuple(state), tuple(vector))[1]
    return [-t for t in tangent]


def flatten(state: Sequence[Tensor]) -> Tensor:
    """(batch, units)."""
    return torch.cat([s.flatten(1) for s in state], 1)


def split(flat: Tensor, like: State, batch: int | None = None) -> State:
    """The inverse of :func:`flatten`."""
    rows = len(like[0]) if batch is None else batch
    sizes = [s[0].numel() for s in like]
    return [part.reshape(rows, *s.shape[1:]) for part, s in zip(flat.split(sizes, 1), like, strict=True)]


def _last_finite(
    model: EnergyModel, state: State, forces: Forces, prepared: Any, beta: float, cost: Any, target: Any, how: Settling
) -> str:
    """Settle again, looking at every state: only a run that failed pays for it."""
    with torch.no_grad():
        advance = _advance(model, prepared, forces, beta, cost, target, how)
        for iteration in range(how.max_iter):
            if not all(bool(s.isfinite().all()) for s in state):
                return (
                    f"the state is not finite after iteration {iteration} (finite before); use a smaller step or beta"
                )
            state = advance(state)
    return f"the forces at the state of iteration {how.max_iter} are not finite; use a smaller step or beta"
