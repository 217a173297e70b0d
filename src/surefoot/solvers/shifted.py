"""Solves (H + λB) s = g for one H and g and many λ: dense by Cholesky, low rank by Woodbury, else by products.

With products alone all λ share one Krylov space: a second λ takes no product that the first had not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]
_ASYMMETRY = 1e-6  # of the largest entry; more is taken for a mistake
_LARGEST_SPACE = 500  # vectors kept; the step is then the best in their span, and a descent step all the same


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
    tol : relative residual where H is known by its products

    Attributes
    ----------
    solves : how often something was solved
    """

    def __init__(self, curvature: Curvature, gradient: Tensor, metric: Metric, tol: float = 0.1) -> None:
        self._curvature, self._gradient, self._metric, self._tol = curvature, gradient, metric, tol
        self.solves = 0
        if isinstance(curvature, LowRank):
            columns = [metric.inverse(column) for column in curvature.factor.T]
            self._scaled = torch.stack(columns, dim=1)  # B⁻¹U
            self._gram = curvature.factor.T @ self._scaled  # UᵀB⁻¹U
        elif not isinstance(curvature, Tensor):
            self._space = _KrylovSpace(curvature, gradient, metric)

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
        return self._space.solve(shift, self._tol)


class _KrylovSpace:
    """Conjugate gradients in Lanczos' form: with its basis kept, one product a dimension serves every shift.

    The basis is orthonormal in B and starts from B⁻¹g; there B⁻¹H is the tridiagonal T, and H + λB is T + λ.
    """

    def __init__(self, product: Product, gradient: Tensor, metric: Metric) -> None:
        self._product, self._metric = product, metric
        self._size = metric.dual_norm(gradient)
        first = metric.inverse(gradient)
        self._basis = (first / self._size if self._size > 0 else first).unsqueeze(0)  # and room for more
        self._diagonal: list[float] = []
        self._below: list[float] = []  # the last one leads out of the space

    def solve(self, shift: float, tol: float) -> Tensor | None:
        """The minimiser of ½⟨(H + λB)s, s⟩ − ⟨g, s⟩ in as large a space as ``tol`` asks for."""
        pivots: list[float] = []  # of T + λ = L D Lᵀ, and L's solution for ‖g‖* e₁
        ahead: list[float] = []
        for step in range(min(len(self._basis[0]), _LARGEST_SPACE)):
            if step == len(self._diagonal):
                self._grow()
            fill = self._below[step - 1] / pivots[-1] if step else 0.0
            pivot = self._diagonal[step] + shift - (fill * self._below[step - 1] if step else 0.0)
            if not pivot > 0:  # curves downwards, or is not finite
                return None
            ahead.append(-fill * ahead[-1] if step else self._size)
            pivots.append(pivot)
            if self._below[step] * abs(ahead[-1]) / pivot <= tol * self._size:
                break
        found = [0.0] * len(pivots)
        for step in reversed(range(len(pivots))):
            found[step] = ahead[step] / pivots[step]
            if step + 1 < len(pivots):
                found[step] -= self._below[step] / pivots[step] * found[step + 1]
        return self._basis.new_tensor(found) @ self._basis[: len(found)]

    def _grow(self) -> None:
        """One product more."""
        size = len(self._diagonal) + 1
        if size == len(self._basis):
            self._basis = torch.cat([self._basis, torch.zeros_like(self._basis)])
        basis = self._basis[:size]
        image = self._product(basis[-1])
        rest, overlap = self._metric.inverse(image), basis @ image
        rest = rest - overlap @ basis
        again = basis @ self._metric.apply(rest)  # once loses digits
        rest = rest - again @ basis
        length = self._metric.norm(rest)
        if length <= 10 * torch.finfo(rest.dtype).eps * float(overlap.abs().max()):
            length = 0.0  # rounding: the space is closed
        self._diagonal.append(float(overlap[-1] + again[-1]))
        self._below.append(length)
        if length:
            self._basis[size] = rest / length
