"""γ(x), the radius in which a linear model of the gradient holds, sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.solvers.gradient_normalized import search
from surefoot.solvers.shifted import Metric


def sampled_gamma(
    grad: Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]],
    x: Float[Tensor, " n"],
    hessian: Float[Tensor, "n n"],
    metric: Float[Tensor, " n"] | Float[Tensor, "n n"] | None = None,
    *,
    directions: int = 64,
    radii: Sequence[float] | np.ndarray | None = None,
    restrict: bool = True,
    seed: int = 0,
) -> float:
    """The largest r among ``radii`` with ‖∇f(x+h) − ∇f(x) − H h‖* ≤ ‖∇f(x)‖* ‖h‖ / r for the sampled h of length ≤ r.

    Random directions and both senses of the gradient's (B⁻¹g); fewer directions can only overestimate. It falls before
    a loss spikes and grows near a good minimum.

    Parameters
    ----------
    grad : x → ∇f(x)
    x, hessian, metric : the point, H and B
    directions : random directions, each taken in both senses
    radii : candidates; by default 200 from 1e-4 to 1e4, a tenth apart
    restrict : only h with ⟨Hh, h⟩ + ⟨g, h⟩ ≤ 0, as the definition has it
    seed : of the directions

    Raises
    ------
    ValueError
        For no direction, radii that are not positive.

    Source: arXiv 2506.13710, definition 1.
    """
    if directions < 0:
        raise ValueError(f"directions: got {directions}; must be at least 0")
    candidates = np.sort(np.geomspace(1e-4, 1e4, 200) if radii is None else np.asarray(radii, dtype=float))
    if not len(candidates) or not (candidates > 0).all():
        raise ValueError("radii: must be positive numbers, at least one")
    space = Metric(metric)
    g = grad(x)
    size = space.dual_norm(g)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(directions, len(x), generator=generator, dtype=torch.float64).to(x)
    lines = [*drawn, space.inverse(g)]
    units = [sign * d / space.norm(d) for d in lines for sign in (1, -1) if space.norm(d) > 0]
    # (length, what r is allowed at it) of every sampled h
    limits = []
    for unit in units:
        for length in candidates:
            h = length * unit
            if restrict and float(h @ (hessian @ h) + g @ h) > 1e-12 * size * length:
                continue
            rest = space.dual_norm(grad(x + h) - g - hessian @ h)
            limits.append((length, size * length / rest if rest > 0 else np.inf))
    best = 0.0
    for r in candidates:
        if all(allowed >= r * (1 - 1e-9) for length, allowed in limits if length <= r * (1 + 1e-12)):
            best = float(r)
        else:
            break
    return best


def gamma_from_search(
    evaluate: Callable[[Float[Tensor, " n"]], tuple[float, Float[Tensor, " n"]]],
    x: Float[Tensor, " n"],
    hessian: Float[Tensor, "n n"],
    metric: Float[Tensor, " n"] | Float[Tensor, "n n"] | None = None,
    gamma0: float = 1.0,
) -> float:
    """The γ that the adaptive search accepts at x, begun at ``gamma0``; 0 if it accepts none.

    ``evaluate`` gives value and gradient.
    """
    if not gamma0 > 0:
        raise ValueError(f"gamma0: got {gamma0}; must be positive")
    value, slope = evaluate(x)
    space = Metric(metric)
    found = search(evaluate, x, value, slope, hessian, space, gamma0)
    return 0.0 if found is None else space.dual_norm(slope) / found.damping
