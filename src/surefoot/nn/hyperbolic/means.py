"""Centres of points of the ball: the midpoint in closed form, the Fréchet mean by Newton's method."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.hyperbolic._series import square
from surefoot.nn.hyperbolic.operations import Curvature, conformal_factor, dist, expmap, logmap, project


def midpoint(
    x: Float[Tensor, "*shape"],
    c: Curvature = 1.0,
    weights: Float[Tensor, "*#shape"] | None = None,
    dim: int = -1,
    reduce_dim: int | tuple[int, ...] = 0,
    keepdim: bool = False,
) -> Float[Tensor, ...]:
    """½ ⊗ Σ w λ x / Σ w (λ − 1): the gyromidpoint, which is the Einstein midpoint and the Lorentz centroid.

    Parameters
    ----------
    weights : ≥ 0, in a shape that broadcasts, with one entry along ``dim``; None weighs all alike
    reduce_dim : what is averaged over

    Source: arXiv 2303.14027; Ungar's gyrobarycentre. For two points it is the middle of the geodesic.
    """
    factor = conformal_factor(x, c, dim)
    share = torch.ones_like(factor) if weights is None else weights
    bottom = (share * (factor - 1)).sum(reduce_dim, keepdim=True)
    klein = (share * factor * x).sum(reduce_dim, keepdim=True) / bottom
    found = klein / (1 + (1 - c * klein.square().sum(dim, keepdim=True)).clamp(min=0).sqrt())
    return found if keepdim else found.squeeze(reduce_dim)


def frechet_mean(
    x: Float[Tensor, "*shape"],
    c: Curvature = 1.0,
    dim: int = -1,
    reduce_dim: int | tuple[int, ...] = 0,
    tol: float | None = None,
    max_iter: int = 50,
    keepdim: bool = False,
) -> Float[Tensor, ...]:
    """The point with the least mean of squared distances.

    Parameters
    ----------
    tol : length of the last step, in distance; None is 1e-12 in float64 and 1e-6 below
    max_iter : how many steps are made at most; a warning says where they did not suffice

    Notes
    -----
    Newton's method from the midpoint: along its geodesic each point pulls with curvature 1, across with D coth D, D =
    √c · distance. The same matrix gives the derivative at the solution (implicit function theorem), so the backward
    costs one solve. First derivatives only.

    Source: Lou et al., "Differentiating through the Fréchet Mean", arXiv 2003.00335, for the task; the method is ours.
    """
    tol = tol if tol is not None else (1e-12 if x.dtype == torch.float64 else 1e-6)
    reduce = (reduce_dim,) if isinstance(reduce_dim, int) else reduce_dim
    steady, at = x.detach(), c.detach() if isinstance(c, Tensor) else c
    mean = midpoint(steady, at, dim=dim, reduce_dim=reduce, keepdim=True)
    for _ in range(max_iter):
        force = logmap(mean, steady, at, dim).mean(reduce, keepdim=True)
        move = _solved(_pull(mean, steady, at, dim, reduce), force, dim)
        mean = project(expmap(mean, move, at, dim), at, dim, eps=torch.finfo(x.dtype).eps)
        if float((conformal_factor(mean, at, dim) * square(move, dim).sqrt()).max()) <= tol:
            break
    force = logmap(mean, x, c, dim).mean(reduce, keepdim=True)
    mean = mean + _solved(_pull(mean, steady, at, dim, reduce), force, dim)
    return mean if keepdim else mean.squeeze(reduce)


def _pull(mean: Tensor, x: Tensor, c: Curvature, dim: int, reduce: tuple[int, ...]) -> Tensor:
    """Hessian of half the mean squared distance, matrices last."""
    direction = logmap(mean, x, c, dim)
    direction = direction / square(direction, dim).sqrt()
    apart = (c**0.5 * dist(mean, x, c, dim, keepdim=True)).clamp(min=1e-6)
    across = (apart / apart.tanh()).movedim(dim, -1)
    unit = direction.movedim(dim, -1)
    kept = [i % x.dim() for i in reduce]
    last = [i - (i > dim % x.dim()) for i in kept]  # the same dims once the vectors are last
    count = across.numel() // across.mean(last, keepdim=True).numel()
    rows = unit.movedim(last, list(range(-1 - len(last), -1))).flatten(-1 - len(last), -2)
    weight = across.movedim(last, list(range(-1 - len(last), -1))).flatten(-1 - len(last), -2)
    eye = torch.eye(rows.shape[-1], dtype=x.dtype, device=x.device)
    return ((1 - weight) * rows).mT @ rows / count + weight.mean(-2, keepdim=True) * eye


def _solved(matrix: Tensor, force: Tensor, dim: int) -> Tensor:
    vector = force.movedim(dim, -1)
    return torch.linalg.solve(matrix, vector.reshape(*matrix.shape[:-1])).reshape(vector.shape).movedim(-1, dim)
