"""The gradient of an equilibrium's cost: by equilibrium propagation, and by the references it is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from surefoot.nn.eqprop.costs import nudge
from surefoot.nn.eqprop.energies import EnergyModel, State
from surefoot.nn.eqprop.hopfield import HopfieldModel
from surefoot.nn.eqprop.methods import Total, flatten, hessian_product, split
from surefoot.nn.eqprop.settle import SettleResult, Settling, settle

Scheme = Literal["one-sided", "random-sign", "symmetric"]
Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class EqPropResult:
    """The gradient and how it came about.

    Attributes
    ----------
    loss : mean cost of the free state, a 0-d tensor
    gradients : by parameter name
    free, nudged : the free state, and the nudged ones (one, or two for ``symmetric``)
    beta : the nudge that was used, with its sign
    """

    loss: Tensor
    gradients: Gradients
    free: SettleResult
    nudged: tuple[SettleResult, ...]
    beta: float


def eqprop_grad(
    model: EnergyModel,
    x: Tensor,
    target: Tensor,
    cost: nn.Module,
    *,
    beta: float = 0.5,
    scheme: Scheme = "symmetric",
    state: State | None = None,
    free: Settling | None = None,
    nudged: Settling | None = None,
    generator: torch.Generator | None = None,
) -> EqPropResult:
    """Gradient of J = mean over the samples of C(s⁰), by a contrast of two settled states; also added to ``.grad``.

    It gets there by a backward of J, in which these gradients are given: whatever follows the losses and backwards of a
    training, as ``surefoot run`` does, sees this one too.

    Parameters
    ----------
    model, x, target, cost : the energy, its input, what the output should be, and how that is judged
    beta : size of the nudge, in float32 not much below 0.01: the contrast is divided by it. The estimate is off by O(β)
        one-sided, by O(β²) symmetric (in smooth models). In clipped ones an output that is held at 0 learns only if β
        is larger than what holds it there
    scheme : ``"one-sided"`` contrasts β with 0, ``"random-sign"`` the same with a sign drawn each time (the paper's),
        ``"symmetric"`` contrasts β with −β (Laborieux et al. 2020)
    state : where the free phase begins; by default the model's initial state
    free, nudged : how each phase settles; by default 20 and 4 Euler steps of 0.5. Nudged phases begin at the free state
    generator : of the sign

    Returns
    -------
    EqPropResult
        Gradients of the model's parameters by name, and of the cost's (``cost.<name>``) where it has some.

    Raises
    ------
    ValueError
        For β = 0, an unknown scheme, or, in models that are not clipped, a negative nudge of size ≥ 1 (with a leak of 1
        the energy is then unbounded).
    SettleError
        If a state becomes non-finite.

    Source: arXiv 1602.05179, theorem 1; arXiv 2006.03824, equation 8 (symmetric).
    """
    if beta == 0:
        raise ValueError("beta: got 0; the contrast is divided by it, use 0.5, or 0.01 to 0.1 for little bias")
    if scheme not in ("one-sided", "random-sign", "symmetric"):
        raise ValueError(f"scheme: got {scheme!r}; use 'one-sided', 'random-sign' or 'symmetric'")
    if scheme == "random-sign" and torch.rand((), generator=generator) < 0.5:
        beta = -beta
    if model.smooth and abs(beta) >= 1 and (scheme == "symmetric" or beta < 0):
        raise ValueError(
            f"beta: got {beta}; in a model that is not clipped a nudge away from the target must be smaller than the "
            "leak, |beta| < 1; use 0.5"
        )
    first = settle(model, x, state, how=free)
    how = nudged or Settling(max_iter=4)
    signs = (beta, -beta) if scheme == "symmetric" else (beta,)
    pulled = tuple(settle(model, x, first.state, beta=b, cost=cost, target=target, how=how) for b in signs)
    other = pulled[1] if scheme == "symmetric" else first
    gradients = contrast(model, pulled[0].state, other.state, x, beta * len(signs))
    loss = _cost_at_rest(cost, first.state, target)
    named = dict(model.named_parameters())
    with torch.enable_grad():
        known = _AtRest.apply(loss, len(named), *(gradients[name] for name in named), *named.values())
    gradients |= _cost_gradients(cost, loss)
    if known.requires_grad:
        known.backward()
    return EqPropResult(loss.detach(), gradients, first, pulled, beta)


class _AtRest(torch.autograd.Function):
    """The cost of a state at rest as a function of parameters for which its gradients are known."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, count: int, *gradients_and_parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients_and_parameters[:count])
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        known = ctx.saved_tensors
        return slope, None, *(None for _ in known), *(slope * gradient for gradient in known)


def contrast(model: EnergyModel, state: State, other: State, x: Tensor, beta: float) -> Gradients:
    """(∂E/∂θ at ``state`` − ∂E/∂θ at ``other``) / β."""
    a, b = model.energy_gradients(state, x), model.energy_gradients(other, x)
    return {name: (a[name] - b[name]) / beta for name in a}


def implicit_grad(
    model: EnergyModel,
    x: Tensor,
    target: Tensor,
    cost: nn.Module,
    state: State,
    *,
    tol: float = 1e-10,
    max_iter: int | None = None,
) -> Gradients:
    """The exact gradient at a settled state: dJ/dθ = ∂C/∂θ − λᵀ ∂²E/∂s∂θ with H λ = ∂C/∂s, by conjugate gradients.

    Units held by the projection (at an end of their range and pushed beyond it) do not move with θ: they are left out
    of the system.

    Parameters
    ----------
    state : settled, as from :func:`settle`; the gradient is only as good as that
    tol, max_iter : of conjugate gradients, relative residual; by default as many iterations as there are units

    Returns
    -------
    dict
        As of :func:`eqprop_grad`; nothing is put into ``.grad``.

    Source: arXiv 1602.05179, section 2 and its appendix (the fixed-point gradient).
    """
    state = [s.detach() for s in state]
    with torch.no_grad():
        total = Total(model, x)
        moving = moving_units(model, state, total.forces(state))
        pull = [torch.zeros_like(s) for s in state[:-1]] + [nudge(cost, state[-1], target).detach()]
        right = flatten(pull) * moving

        def product(v: Tensor) -> Tensor:
            return flatten(hessian_product(total, state, split(v, state))) * moving

        adjoint = _conjugate_gradients(product, right, tol, max_iter or right.shape[1])
    with torch.enable_grad():
        # −λᵀ ∂²E/∂s∂θ is the derivative over θ of λᵀ (−∂E/∂s)
        pushed = flatten(model.force(state, model.prepare(x)))
        named = dict(model.named_parameters())
        found = torch.autograd.grad((adjoint * pushed).sum() / len(x), list(named.values()), allow_unused=True)
    gradients = {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}
    return gradients | _cost_gradients(cost, _cost_at_rest(cost, state, target))


def bptt_grad(
    model: EnergyModel,
    x: Tensor,
    target: Tensor,
    cost: nn.Module,
    *,
    state: State | None = None,
    steps: int = 20,
    step: float = 0.5,
    straight_through: bool = False,
) -> Gradients:
    """The gradient through ``steps`` unrolled Euler steps; its memory grows with them.

    Parameters
    ----------
    state : where the steps begin, a constant; from a settled state this is backpropagation cut off after ``steps``
    straight_through : let the gradient pass the projection where it holds a unit (ρ′ = 1 at the ends of the range, as
        the dynamics has it). The exact derivative there is 0: a unit held at 0 in every sample would never learn

    Returns
    -------
    dict
        As of :func:`eqprop_grad`; nothing is put into ``.grad``.

    Raises
    ------
    ValueError
        For fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}; use at least 1")
    named = {**dict(model.named_parameters()), **{f"cost.{n}": p for n, p in cost.named_parameters()}}
    with torch.enable_grad():
        total = Total(model, x)
        now = model.clip([s.detach() for s in (model.initial(x) if state is None else state)])
        for _ in range(steps):
            moved = [torch.add(s, f, alpha=step) for s, f in zip(now, total.forces(now), strict=True)]
            now = model.clip(moved)
            if straight_through:
                # the difference is exactly zero: the value is the clipped one, the derivative that of the other
                now = [n.detach() + (m - m.detach()) for n, m in zip(now, moved, strict=True)]
        found = torch.autograd.grad(cost(now[-1], target).mean(), list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}


def stdp_trace(
    model: HopfieldModel, x: Tensor, path: Sequence[State], rule: Literal["midpoint", "left"] = "midpoint"
) -> list[Tensor]:
    """Sum along a path of ρ_i Δρ_j + ρ_j Δρ_i for each weight, the mean over the samples.

    With activities at the midpoint of each step it telescopes: it equals the contrast of the path's two ends, whatever
    the path. With those at the step's beginning it does not.

    Parameters
    ----------
    path : states from one end to the other, as :func:`settle` keeps them

    Raises
    ------
    ValueError
        For fewer than two states or an unknown rule.

    Source: arXiv 1602.05179, section 4 (spike-timing-dependent plasticity).
    """
    if len(path) < 2:
        raise ValueError(f"path: got {len(path)} states; use at least the two ends")
    if rule not in ("midpoint", "left"):
        raise ValueError(f"rule: got {rule!r}; use 'midpoint' or 'left'")
    activities = [[x, *model.rho(state)] for state in path]
    sums = [torch.zeros_like(w) for w in model.weights]
    with torch.no_grad():
        for now, then in pairwise(activities):
            held = [(a + b) / 2 for a, b in zip(now, then, strict=True)] if rule == "midpoint" else now
            change = [b - a for a, b in zip(now, then, strict=True)]
            for k, total in enumerate(sums):
                total += model.coincidence(held[k], change[k + 1], k) / len(x)
                total += model.coincidence(change[k], held[k + 1], k) / len(x)
    return sums


def moving_units(model: EnergyModel, state: State, forces: State) -> Tensor:
    """1 for units that are free to move, 0 for those that the projection holds: ``(batch, units)``."""
    tiny = [torch.finfo(s.dtype).eps ** 0.5 for s in state]
    moved = model.clip([s + e * f.sign() for s, f, e in zip(state, forces, tiny, strict=True)])
    held = [(m == s) & (f != 0) for m, s, f in zip(moved, state, forces, strict=True)]
    return 1 - flatten([h.to(s.dtype) for h, s in zip(held, state, strict=True)])


def _conjugate_gradients(product: Callable[[Tensor], Tensor], right: Tensor, tol: float, max_iter: int) -> Tensor:
    """Solve for every row at once."""
    solution, rest = torch.zeros_like(right), right.clone()
    direction, size = rest.clone(), rest.square().sum(1, keepdim=True)
    bound = tol**2 * size
    for _ in range(max_iter):
        if not bool((size > bound).any()):
            break
        image = product(direction)
        curvature = (direction * image).sum(1, keepdim=True)
        length = torch.where(curvature != 0, size / curvature, 0)
        solution += length * direction
        rest -= length * image
        new = rest.square().sum(1, keepdim=True)
        direction = rest + torch.where(size > 0, new / size, 0) * direction
        size = new
    return solution


def _cost_at_rest(cost: nn.Module, state: State, target: Tensor) -> Tensor:
    with torch.enable_grad():
        return cost(state[-1].detach(), target).mean()


def _cost_gradients(cost: nn.Module, loss: Tensor) -> Gradients:
    named = dict(cost.named_parameters())
    if not named:
        return {}
    found = torch.autograd.grad(loss, list(named.values()), retain_graph=True)
    return {f"cost.{name}": gradient for name, gradient in zip(named, found, strict=True)}
