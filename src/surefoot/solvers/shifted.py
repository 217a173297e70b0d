"""Solves (H + λB) s = g for one H and g and many λ: dense by Cholesky, low rank by Woodbury, else CG on products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]
_ASYMMETRY = 1e-6  # of the largest entry; more is taken for a mistake


@dataclass(frozen=True)
class LowRank:
    """H = U Uᵀ, given as U; with k ≪ n columns a solve costs a k × k factorisation."""

    factor: Float[Tensor, "n k"]


Curvature = Tensor | LowRank | Product
"""H as a matrix, as a factor, or as a function v → H v."""


class Metric:
    """A positive definite B: the identity (None), a diagonal, or a matrix, factorised once.

    Raises
    ------
    ValueError
        If it is not symmetric positive definite.
    """

    def __init__(self, matrix: Float[Tensor, " n"] | Float[Tensor, "n n"] | None = None) -> None:
        self._matrix, self._factor = matrix, None
        if matrix is None:
            return
        if matrix.dim() == 1:
            if not bool((matrix > 0).all()):
                raise ValueError("metric: the diagonal has an entry that is not positive")
        else:
            self._factor, info = torch.linalg.cholesky_ex(symmetric(matrix, "metric"))
            if int(info):
                raise ValueError(f"metric: is not positive definite (its leading minor of order {int(info)} is not)")

    def apply(self, v: Tensor) -> Tensor:
        """B v."""
        if self._matrix is None:
            return v
        return self._matrix * v if self._matrix.dim() == 1 else self._matrix @ v

    def inverse(self, v: Tensor) -> Tensor:
        """B⁻¹ v."""
        if self._matrix is None:
            return v
        if self._factor is None:
            return v / self._matrix
        return torch.cholesky_solve(v.unsqueeze(1), self._factor).squeeze(1)

    def added(self, matrix: Tensor, scale: float) -> Tensor:
        """``matrix`` + ``scale`` B."""
        if self._matrix is not None and self._matrix.dim() == 2:
            return matrix + scale * self._matrix
        result = matrix.clone()
        result.diagonal().add_(scale if self._matrix is None else scale * self._matrix)
        return result

    def norm(self, v: Tensor) -> float:
        """√(vᵀ B v)."""
        return float(v @ self.apply(v)) ** 0.5

    def dual_norm(self, v: Tensor) -> float:
        """√(vᵀ B⁻¹ v)."""
        return float(v @ self.inverse(v)) ** 0.5


def symmetric(matrix: Tensor, name: str) -> Tensor:
    """The matrix, once it is clear that it is square and symmetric to 1e-6 of its largest entry.

    Raises
    ------
    ValueError
        Otherwise.
    """
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name}: got shape {tuple(matrix.shape)}; must be square")
    off = float((matrix - matrix.T).abs().max()) if matrix.numel() else 0.0
    if off > _ASYMMETRY * float(matrix.abs().max()):
        raise ValueError(f"{name}: is not symmetric; entries differ by up to {off:.2g} from those mirrored")
    return matrix


class ShiftedSystem:
    """(H + λB) s = g; ``solve(λ)`` gives s, or None where H + λB is not positive definite.

    Parameters
    ----------
    curvature : H
    gradient : g
    metric : B
    tol : of CG, relative residual

    Attributes
    ----------
    solves : how often something was solved
    """

    def __init__(self, curvature: Curvature, gradient: Tensor, metric: Metric, tol: float = 0.1) -> None:
        self._curvature, self._gradient, self._metric, self._tol = curvature, gradient, metric, tol
        self._last: Tensor | None = None  # a start for CG at the next shift
        self.solves = 0
        if isinstance(curvature, LowRank):
            columns = [metric.inverse(column) for column in curvature.factor.T]
            self._scaled = torch.stack(columns, dim=1)  # B⁻¹U
            self._gram = curvature.factor.T @ self._scaled  # UᵀB⁻¹U

    def solve(self, shift: float) -> Tensor | None:
        """s for one λ > 0."""
        self.solves += 1
        if isinstance(self._curvature, Tensor):
            factor, info = torch.linalg.cholesky_ex(self._metric.added(self._curvature, shift))
            if int(info):
                return None
            return torch.cholesky_solve(self._gradient.unsqueeze(1), factor).squeeze(1)
        if isinstance(self._curvature, LowRank):
            # (λB + UUᵀ)⁻¹ = (B⁻¹ − B⁻¹U (λI + UᵀB⁻¹U)⁻¹ UᵀB⁻¹) / λ
            inner = self._gram.clone()
            inner.diagonal().add_(shift)
            factor, info = torch.linalg.cholesky_ex(inner)
            if int(info):
                return None
            middle = torch.cholesky_solve((self._scaled.T @ self._gradient).unsqueeze(1), factor).squeeze(1)
            return (self._metric.inverse(self._gradient) - self._scaled @ middle) / shift
        return self._conjugate_gradients(shift)

    def _conjugate_gradients(self, shift: float) -> Tensor | None:
        assert callable(self._curvature)
        product, metric, g = self._curvature, self._metric, self._gradient
        x = torch.zeros_like(g) if self._last is None else self._last
        residual = g - (product(x) + shift * metric.apply(x)) if self._last is not None else g.clone()
        preconditioned = metric.inverse(residual)
        direction, size = preconditioned, float(residual @ preconditioned)
        limit = self._tol**2 * float(g @ metric.inverse(g))
        for _ in range(2 * len(g)):
            if size <= limit:
                break
            image = product(direction) + shift * metric.apply(direction)
            along = float(direction @ image)
            if not along > 0:  # curves downwards, or is not finite
                return None
            step = size / along
            x = x + step * direction
            residual = residual - step * image
            preconditioned = metric.inverse(residual)
            size, before = float(residual @ preconditioned), size
            direction = preconditioned + size / before * direction
        self._last = x
        return x
