"""The ball as a module: a curvature, fixed or learned, and the operations at it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.nn.hyperbolic import means, operations


class PoincareBall(nn.Module):
    """The Poincaré ball c|x|² < 1, of curvature −c. Layers that share an instance share a learned curvature.

    Methods take points (or tangent vectors) along ``dim``. Results that are points are projected to within a hair of
    the rim, see :func:`surefoot.nn.hyperbolic.project`; the functions of the same names project nothing.

    Parameters
    ----------
    c : minus the curvature, > 0
    learnable : c is softplus of a parameter; else it is a number and nothing of it is saved
    strict : points with c|x|² ≥ 1 raise; it costs a synchronisation on accelerators

    Raises
    ------
    ValueError
        If c is not positive and finite; with ``strict`` for points outside.
    """

    def __init__(self, c: float = 1.0, learnable: bool = False, strict: bool = False) -> None:
        super().__init__()
        if not 0 < c < math.inf:
            raise ValueError(f"c: got {c}; use a positive number, such as 1, or 0.1 for deep networks")
        self._c, self.strict = float(c), strict
        # the inverse of softplus, written so that it holds for large c too
        self.raw = nn.Parameter(torch.tensor(c + math.log(-math.expm1(-c)))) if learnable else None

    @property
    def c(self) -> float | Tensor:
        """Minus the curvature: a number, or a 0-d tensor if it is learned."""
        return self._c if self.raw is None else F.softplus(self.raw)

    def extra_repr(self) -> str:
        c = self.c.detach() if isinstance(self.c, Tensor) else self.c
        return f"c={float(c):.4g}, learnable={self.raw is not None}"

    def _checked(self, *points: Tensor, dim: int) -> None:
        if self.strict:
            for x in points:
                largest = float((self.c * x.detach().square().sum(dim)).max()) if x.numel() else 0.0
                if not largest < 1:
                    raise ValueError(f"x: c|x|² reaches {largest:.6g}; points lie inside the ball, where it is below 1")

    def project(self, x: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
        """Points beyond the rim put back inside."""
        return operations.project(x, self.c, dim)

    def expmap0(self, v: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
        """The point that a tangent vector at 0 leads to."""
        return self.project(operations.expmap0(v, self.c, dim), dim)

    def logmap0(self, y: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
        """The tangent vector at 0 that leads to ``y``."""
        self._checked(y, dim=dim)
        return operations.logmap0(y, self.c, dim)

    def mobius_add(self, x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], dim: int = -1) -> Float[Tensor, ...]:
        """x ⊕ y."""
        self._checked(x, y, dim=dim)
        return self.project(operations.mobius_add(x, y, self.c, dim), dim)

    def expmap(self, x: Float[Tensor, "*#shape"], v: Float[Tensor, "*#shape"], dim: int = -1) -> Float[Tensor, ...]:
        """The point that the tangent vector ``v`` at ``x`` leads to."""
        self._checked(x, dim=dim)
        return self.project(operations.expmap(x, v, self.c, dim), dim)

    def logmap(self, x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], dim: int = -1) -> Float[Tensor, ...]:
        """The tangent vector at ``x`` that leads to ``y``."""
        self._checked(x, y, dim=dim)
        return operations.logmap(x, y, self.c, dim)

    def dist(self, x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], dim: int = -1) -> Float[Tensor, ...]:
        """The distance."""
        self._checked(x, y, dim=dim)
        return operations.dist(x, y, self.c, dim)

    def transport(
        self, x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], v: Float[Tensor, "*#shape"], dim: int = -1
    ) -> Float[Tensor, ...]:
        """The tangent vector ``v`` at ``x``, moved in parallel to ``y``."""
        self._checked(x, y, dim=dim)
        return operations.transport(x, y, v, self.c, dim)

    def midpoint(
        self,
        x: Float[Tensor, "*shape"],
        weights: Float[Tensor, "*#shape"] | None = None,
        dim: int = -1,
        reduce_dim: int | tuple[int, ...] = 0,
    ) -> Float[Tensor, ...]:
        """The midpoint in closed form."""
        self._checked(x, dim=dim)
        return means.midpoint(x, self.c, weights, dim, reduce_dim)

    def frechet_mean(
        self,
        x: Float[Tensor, "*shape"],
        dim: int = -1,
        reduce_dim: int | tuple[int, ...] = 0,
        tol: float | None = None,
        max_iter: int = 50,
    ) -> Float[Tensor, ...]:
        """The point with the least mean of squared distances."""
        self._checked(x, dim=dim)
        return means.frechet_mean(x, self.c, dim, reduce_dim, tol, max_iter)
