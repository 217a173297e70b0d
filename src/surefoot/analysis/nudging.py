"""Whether a settled state and its nudges give the gradient they should: bias, curvature, what went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.nn.eqprop.energies import EnergyModel
from surefoot.nn.eqprop.gradients import Gradients, contrast, implicit_grad, moving_units
from surefoot.nn.eqprop.methods import Total, dense_hessian, flatten, hessian_product, split
from surefoot.nn.eqprop.settle import SettleError, Settling, settle
from surefoot.plots import figure, line

DENSE = 512  # units up to which a sample's Hessian is built whole


@dataclass(frozen=True)
class NudgeReport:
    """Equilibrium propagation held against implicit differentiation.

    Attributes
    ----------
    betas : sizes of the nudge
    one_sided, symmetric : relative error of the gradient at each; NaN where a nudge was impossible or did not settle
    one_sided_cosine, symmetric_cosine : cosine with the implicit gradient
    one_sided_slope, symmetric_slope : of log error over log β: 1 and 2 in smooth models, as theory has it
    residual : of the free state
    smallest_curvature : least eigenvalue of the Hessian on the units that can move, over the samples; ≤ 0: no minimum
    asymmetry : of the forces' derivative, see :func:`asymmetry`; 0 but for rounding where there is an energy
    verdicts : what is wrong, in words; empty if nothing is
    """

    betas: tuple[float, ...]
    one_sided: tuple[float, ...]
    symmetric: tuple[float, ...]
    one_sided_cosine: tuple[float, ...]
    symmetric_cosine: tuple[float, ...]
    one_sided_slope: float
    symmetric_slope: float
    residual: float
    smallest_curvature: float
    asymmetry: float
    verdicts: tuple[str, ...]

    def plot(self) -> Any:
        """Both errors against β, as a plotly figure."""
        lines = [
            line(name, self.betas, errors, "lines+markers")
            for name, errors in (("one-sided", self.one_sided), ("symmetric", self.symmetric))
        ]
        title = "Error of equilibrium propagation"
        return figure(lines, title=title, x="β", y="relative error", log_x=True, log_y=True)


def nudge_report(
    model: EnergyModel,
    x: Tensor,
    target: Tensor,
    cost: nn.Module,
    betas: Sequence[float] = (0.2, 0.1, 0.05, 0.025),
    how: Settling | None = None,
    settled: float = 1e-4,
) -> NudgeReport:
    """Compare both schemes with the implicit gradient over several nudges.

    Parameters
    ----------
    model, x, target, cost : as for :func:`surefoot.nn.eqprop.eqprop_grad`; a few samples suffice
    betas : positive sizes of the nudge
    how : how every phase settles; by default up to 2,000 Euler steps to a residual of 1e-6
    settled : a residual above this is no equilibrium

    Raises
    ------
    ValueError
        For no β, or one that is not positive.

    Notes
    -----
    Verdicts: "no energy" (connections back differ from those forth), "not settled" (a residual above ``settled``), "no
    gradient" (saturated outputs), "no minimum" (curvature ≤ 0 on moving units), "multi-stable" (from another start the
    free phase ends elsewhere), "nudge too large" (the error does not fall with β as it should).
    """
    if not betas or not all(b > 0 for b in betas):
        raise ValueError(f"betas: got {list(betas)}; use positive numbers such as 0.1")
    how = how or Settling(2000, 0.5, 1e-6)
    free = settle(model, x, how=how)
    exact = _vector(implicit_grad(model, x, target, cost, free.state))
    errors: dict[bool, list[float]] = {False: [], True: []}
    cosines: dict[bool, list[float]] = {False: [], True: []}
    worst = free.residual
    for beta in betas:
        up = _nudged(model, x, target, cost, free.state, beta, how)
        down = _nudged(model, x, target, cost, free.state, -beta, how) if beta < 1 else None
        for symmetric, pair in ((False, (up, free)), (True, (up, down))):
            a, b = pair
            if a is None or b is None:
                errors[symmetric].append(math.nan)
                cosines[symmetric].append(math.nan)
                continue
            worst = max(worst, a.residual, b.residual)
            found = _vector(contrast(model, a.state, b.state, x, beta * (2 if symmetric else 1)))
            size = exact.norm() or math.nan  # nothing can be compared with a gradient of zero
            errors[symmetric].append(float((found - exact).norm() / size))
            cosines[symmetric].append(float(torch.dot(found, exact) / (found.norm() * size)))
    curvature, skew = smallest_curvature(model, x, free.state), asymmetry(model, x, free.state)
    slopes = [_slope(betas, errors[s]) for s in (False, True)]
    verdicts = []
    if skew > torch.finfo(free.output.dtype).eps ** 0.5:
        verdicts.append(f"no energy: connections back differ from those forth (by {skew:.2g}); use one weight for both")
    if worst > settled:
        verdicts.append(f"not settled: a residual of {worst:.2g} is left; take more iterations")
    if not exact.any():
        verdicts.append("no gradient: every output unit is held at an end of its range; use smaller weights")
    if curvature <= 0:
        verdicts.append(f"no minimum: the least curvature on the units that can move is {curvature:.2g}")
    if _ends_elsewhere(model, x, free.state, how, settled):
        verdicts.append("multi-stable: from another start the free phase ends elsewhere; smaller weights have one end")
    if model.smooth and slopes[0] <= 0.7:
        verdicts.append(f"nudge too large: the one-sided error falls as β^{slopes[0]:.2f}, not as β; use a smaller one")
    return NudgeReport(
        tuple(betas), tuple(errors[False]), tuple(errors[True]), tuple(cosines[False]), tuple(cosines[True]),
        slopes[0], slopes[1], free.residual, curvature, skew, tuple(verdicts),
    )  # fmt: skip


def smallest_curvature(model: EnergyModel, x: Tensor, state: list[Tensor]) -> float:
    """Least eigenvalue of ∂²E/∂s² on the units that can move, over the samples.

    Exact up to 512 units; beyond, from 60 iterations of the power method on the shifted operator, an upper bound.
    """
    with torch.no_grad():
        total = Total(model, x)
        moving = moving_units(model, state, total.forces(state))
        if moving.shape[1] <= DENSE:
            hessian = dense_hessian(total, state)
            masked = moving.unsqueeze(2) * hessian * moving.unsqueeze(1)
            # held units get a curvature that is never the least
            held = torch.diag_embed((1 - moving) * (1 + masked.abs().amax((1, 2)))[:, None])
            return float(torch.linalg.eigvalsh((masked + masked.mT) / 2 + held)[:, 0].min())

        def product(v: Tensor) -> Tensor:
            return flatten(hessian_product(total, state, split(v * moving, state))) * moving

        largest = _power(product, moving)
        shift = float(largest.abs().max()) * 1.01
        return shift - float(_power(lambda v: shift * v - product(v), moving).max())


def asymmetry(model: EnergyModel, x: Tensor, state: list[Tensor]) -> float:
    """Largest |vᵀJw − wᵀJv| / (|v||Jw|) over the samples, for random v and w and J the forces' derivative by the state.

    Forces that come from an energy have a symmetric J. Those of separate weights back and forth have not, and the
    contrast of two of their resting points is no gradient.
    """
    with torch.no_grad():
        total, like = Total(model, x), flatten(state)
        generator = torch.Generator().manual_seed(0)
        v, w = (torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device) for _ in range(2))
        jv, jw = (flatten(hessian_product(total, state, split(u, state))) for u in (v, w))
        size = v.norm(dim=1) * jw.norm(dim=1)
        return float((((v * jw).sum(1) - (w * jv).sum(1)).abs() / size).nan_to_num(0).max())


def _power(product: Any, moving: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(moving.shape, generator=generator, dtype=moving.dtype).to(moving.device) * moving
    value = moving.new_zeros(len(moving))
    for _ in range(60):
        v = v / v.norm(dim=1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
        image = product(v)
        value, v = (v * image).sum(1), image
    return value


def _nudged(
    model: EnergyModel, x: Tensor, target: Tensor, cost: nn.Module, state: Any, beta: float, how: Settling
) -> Any:
    try:
        return settle(model, x, state, beta=beta, cost=cost, target=target, how=how)
    except SettleError:
        return None


def _ends_elsewhere(model: EnergyModel, x: Tensor, state: list[Tensor], how: Settling, settled: float) -> bool:
    start = [torch.full_like(s, 1.0) for s in state]
    try:
        other = settle(model, x, start, how=how)
    except SettleError:
        return True
    far = max(float((a - b).abs().max()) for a, b in zip(other.state, state, strict=True))
    return other.residual <= settled and far > 100 * max(settled, how.tol)


def _slope(betas: Sequence[float], errors: Sequence[float]) -> float:
    points = [(math.log(b), math.log(e)) for b, e in zip(betas, errors, strict=True) if e > 0]
    if len(points) < 2:
        return math.nan
    x, y = torch.tensor(points, dtype=torch.float64).T
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def _vector(gradients: Gradients) -> Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])
