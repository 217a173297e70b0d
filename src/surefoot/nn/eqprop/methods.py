"""One iteration of each way to descend the energy F = E + β C, and the products with its Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.eqprop.costs import SquaredError, nudge
from surefoot.nn.eqprop.energies import EnergyModel, State
from surefoot.nn.eqprop.hopfield import HopfieldModel

Method = Literal["euler", "fista", "alternate", "newton"]
METHODS: tuple[Method, ...] = ("euler", "fista", "alternate", "newton")
HALVINGS = 30  # of a Newton step that climbs: a billionth of it moves nothing


class Total:
    """F = E + β C over the state, at one clamped input: what that contributes is computed once."""

    def __init__(
        self,
        model: EnergyModel,
        x: Tensor,
        beta: float = 0.0,
        cost: nn.Module | None = None,
        target: Tensor | None = None,
    ) -> None:
        if beta and (cost is None or target is None):
            raise ValueError(f"beta: got {beta} without cost and target; a nudged phase needs both")
        self.model, self.x, self.beta, self.cost, self.target = model, x, beta, cost, target
        self.prepared = model.prepare(x)

    def __call__(self, state: State) -> Float[Tensor, " batch"]:
        """F of each sample."""
        energy = self.model.energy(state, self.x)
        if not self.beta:
            return energy
        assert self.cost is not None
        return energy + self.beta * self.cost(state[-1], self.target)

    def forces(self, state: State) -> State:
        """−∂F/∂s."""
        found = self.model.force(state, self.prepared)
        if not self.beta:
            return found
        assert self.cost is not None and self.target is not None
        return [*found[:-1], found[-1] - self.beta * nudge(self.cost, state[-1], self.target)]

    def euler_step(self, state: State, step: float) -> State:
        """s ← clip(s − ε ∂F/∂s)."""
        forces = self.forces(state)
        return self.model.clip([torch.add(s, f, alpha=step) for s, f in zip(state, forces, strict=True)])


def iteration(method: Method, total: Total, step: float) -> Callable[[State], State]:
    """One iteration of a method, as a function of the state.

    Raises
    ------
    ValueError
        If the method does not fit the model or the nudge.
    """
    if method == "euler":
        return lambda state: total.euler_step(state, step)
    if method == "fista":
        return _Fista(total, step)
    model = total.model
    if method == "newton":
        if not model.smooth:
            raise ValueError("method: 'newton' needs a smooth model; this one is clipped: use 'euler' or 'alternate'")
        return lambda state: _newton(total, state)
    fits = isinstance(model, HopfieldModel) and not model.smooth
    if not fits or (total.beta and not isinstance(total.cost, SquaredError)):
        raise ValueError(
            "method: 'alternate' needs a hard-sigmoid Hopfield model, and SquaredError if nudged; use 'euler'"
        )
    if total.beta <= -1:
        raise ValueError(f"method: 'alternate' has no minimum of the output layer at beta {total.beta}; use 'euler'")
    return lambda state: _alternate(total, state)


class _Fista:
    """Accelerated projected gradient, started anew where the momentum points uphill (O'Donoghue, Candès 2015)."""

    def __init__(self, total: Total, step: float) -> None:
        self._total, self._step = total, step
        self._before: State | None = None
        self._t = 1.0

    def __call__(self, state: State) -> State:
        before = state if self._before is None else self._before
        t = (1 + (1 + 4 * self._t**2) ** 0.5) / 2
        ahead = [s + (self._t - 1) / t * (s - b) for s, b in zip(state, before, strict=True)]
        forces = self._total.forces(ahead)
        new = self._total.model.clip([torch.add(a, f, alpha=self._step) for a, f in zip(ahead, forces, strict=True)])
        gain = sum(float((f * (n - s)).sum()) for f, n, s in zip(forces, new, state, strict=True))
        self._before, self._t = (state, t) if gain >= 0 else (None, 1.0)
        return new


def _alternate(total: Total, state: State) -> State:
    """Each layer to its exact minimum given its neighbours: first the even ones, then the odd."""
    model, beta = total.model, total.beta
    assert isinstance(model, HopfieldModel)
    new = list(state)
    last = len(state) - 1
    for parity in (0, 1):
        for k in range(parity, last + 1, 2):
            (value,) = model.inputs(new, total.prepared, only=k)
            if beta and k == last:
                value = (value + beta * total.target) / (1 + beta)  # type: ignore[operator]
            new[k] = value.clamp(0, 1)
    return new


def _newton(total: Total, state: State) -> State:
    """s + t |H|⁻¹ f, each sample with the largest t of 1, ½, ¼ … at which F falls enough (Armijo).

    |H| has the sizes of H's eigenvalues: at a minimum it is H, and where H curves down the step goes down and not, as
    H⁻¹ f would, up to the saddle (Dauphin et al. 2014, arXiv 1406.2572).
    """
    flat, force = flatten(state), flatten(total.forces(state))
    curvatures, axes = torch.linalg.eigh(dense_hessian(total, state))
    sizes = curvatures.abs().clamp_min(torch.finfo(flat.dtype).eps ** 0.5)
    direction = (axes @ ((axes.mT @ force.unsqueeze(2)) / sizes.unsqueeze(2))).squeeze(2)
    promise, before = (force * direction).sum(1), total(state)
    rounding = 8 * torch.finfo(flat.dtype).eps * (1 + before.abs())  # at the minimum F does not fall any more
    length = torch.ones_like(promise)
    for _ in range(HALVINGS):
        new = split(flat + length[:, None] * direction, state)
        climbs = ~(total(new) <= before - 1e-4 * length * promise + rounding)
        if not bool(climbs.any()):
            break
        length = torch.where(climbs, length / 2, length)
    return new


def dense_hessian(total: Total, state: State) -> Float[Tensor, "batch units units"]:
    """∂²F/∂s² of each sample, from products with the unit vectors."""
    flat = flatten(state)
    units = torch.eye(flat.shape[1], dtype=flat.dtype, device=flat.device)

    def column(unit: Tensor) -> Tensor:
        return flatten(hessian_product(total, state, split(unit.expand_as(flat), state)))

    return torch.func.vmap(column, out_dims=2)(units)


def hessian_product(total: Total, state: State, vector: State) -> State:
    """H v of each sample: minus the derivative of the forces along v."""
    tangent = torch.func.jvp(lambda *s: tuple(total.forces(list(s))), tuple(state), tuple(vector))[1]
    return [-t for t in tangent]


def flatten(state: Sequence[Tensor]) -> Float[Tensor, "batch units"]:
    """All units of a sample in one row."""
    return torch.cat([s.flatten(1) for s in state], 1)


def split(flat: Float[Tensor, "batch units"], like: State) -> State:
    """The inverse of :func:`flatten`."""
    sizes = [s[0].numel() for s in like]
    return [part.reshape(s.shape) for part, s in zip(flat.split(sizes, 1), like, strict=True)]
