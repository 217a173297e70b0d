"""Extreme eigenpairs of a symmetric operator that is known only by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.autodiff.operator import SymmetricOperator

Which = Literal["LA", "SA", "LM", "BE"]
_SPARE = 3  # further pairs that a restart keeps, since one of them may become the best


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues, best first, their unit vectors as rows, the residuals |A v − λ v|, and the products it took.

    ``restart`` is what to start from for a nearby operator: the sum of these vectors and of the next few. A start from
    the best vector alone may end at that pair again after another one has overtaken it.
    """

    values: Float[Tensor, " k"]
    vectors: Float[Tensor, "k n"]
    residuals: Float[Tensor, " k"]
    products: int
    converged: bool
    restart: Float[Tensor, " n"]


def lanczos(
    operator: Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]],
    start: Float[Tensor, " n"],
    k: int = 1,
    which: Which = "LA",
    tol: float = 1e-3,
    max_products: int = 300,
    basis: int = 40,
) -> Eigenpairs:
    """The k extreme eigenpairs by thick-restart Lanczos with full orthogonalisation.

    Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix Anal. 22
    (2000). Memory is ``basis`` vectors of n. Stops when each residual is at most ``tol`` times the largest magnitude
    of an eigenvalue seen (an eigenvalue is then within that residual of the true one), and the next pair can't
    overtake the k-th any more.

    Parameters
    ----------
    operator : v → A v for a symmetric A
    start : where to start: a random vector, or ``restart`` of a nearby operator's pairs; a start that is (almost)
        orthogonal to the vector sought hides it
    k : how many pairs
    which : "LA" largest algebraic, "SA" smallest algebraic, "LM" largest magnitude, "BE" both ends: the largest, the
        smallest, the second largest, …
    tol : relative residual
    max_products : give up (``converged`` false) after this many products
    basis : vectors kept; at least k + 2

    Raises
    ------
    ValueError
        For a start that is zero, not finite or not a vector; k outside 1…n; an unknown ``which``; a basis too small;
        an operator that gives non-finite values.
    """
    n = start.numel()
    if start.dim() != 1 or not bool(torch.isfinite(start).all()) or not bool(start.any()):
        raise ValueError(f"start: got shape {tuple(start.shape)}; must be a finite non-zero vector")
    if not 1 <= k <= n:
        raise ValueError(f"k: got {k}; must be between 1 and the dimension {n}")
    if which not in ("LA", "SA", "LM", "BE"):
        raise ValueError(f"which: got {which!r}; must be 'LA', 'SA', 'LM' or 'BE'")
    if basis < k + 2 and basis < n:
        raise ValueError(f"basis: got {basis}; must be at least k + 2 = {k + 2}")
    basis = min(basis, n)
    vectors = start.new_zeros(basis, n)
    projected = torch.zeros(basis, basis, dtype=torch.float64)
    vectors[0] = start / start.norm()
    size, products = 1, 0
    while True:
        image = operator(vectors[size - 1])
        products += 1
        if not bool(torch.isfinite(image).all()):
            raise ValueError("operator: gave non-finite values; the model's loss or its weights are not finite")
        rest, overlap = _orthogonalised(image, vectors[:size])
        projected[:size, size - 1] = projected[size - 1, :size] = overlap.double().cpu()
        values, combinations = torch.linalg.eigh(projected[:size, :size])
        order = _order(values, which)
        scale, length = float(values.abs().max()), float(rest.norm())
        best = order[: min(k, size)]
        residuals = length * combinations[-1, best].abs()
        done = size >= k and bool((residuals <= tol * scale).all())
        done = done and (size == n or _nothing_beyond(values, length * combinations[-1].abs(), order, k, which, tol))
        if done or products >= max_products:
            mix = combinations[:, best].T.to(vectors)
            restart = combinations[:, order[: k + _SPARE]].sum(dim=1).to(vectors) @ vectors[:size]
            return Eigenpairs(values[best], mix @ vectors[:size], residuals, products, done, restart)
        if size == basis:  # thick restart: keep the best directions, and the residual that couples them
            kept = order[: max(k, min(k + basis // 3, basis - 2))]
            vectors[: len(kept)] = combinations[:, kept].T.to(vectors) @ vectors[:size]
            projected.zero_()
            projected[range(len(kept)), range(len(kept))] = values[kept]
            size = len(kept)
        vectors[size] = _next_direction(rest, length, scale, vectors[:size])
        size += 1


def extreme_eigenpairs(
    operator: SymmetricOperator,
    k: int = 1,
    which: Which = "LA",
    tol: float = 1e-3,
    max_products: int | None = None,
    start: Float[Tensor, " n"] | None = None,
    seed: int = 0,
) -> Eigenpairs:
    """:func:`lanczos` for an operator that knows its size, from a random start.

    Parameters
    ----------
    operator, k, which, tol : see :func:`lanczos`; the basis grows with k
    max_products : by default 300, or 20 a pair if that is more
    start : what to warm-start from, best a nearby operator's ``restart``; a tenth of the random vector is added, so
        that a direction which has overtaken the old one can be found
    seed : of the random vector

    Raises
    ------
    ValueError
        As :func:`lanczos`; for a start of the wrong length.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(operator.size, generator=generator, dtype=torch.float64)
    noise = (noise / noise.norm()).to(operator.device, operator.dtype)
    if start is not None:
        if start.shape != (operator.size,) or not bool(start.any()):
            shape = tuple(start.shape)
            raise ValueError(f"start: got shape {shape}; must be ({operator.size},), not zero: one value a parameter")
        noise = start.to(noise) / start.norm().to(noise) + 0.1 * noise
    return lanczos(operator, noise, k, which, tol, max_products or max(300, 20 * k), max(40, 2 * k + 20))


@dataclass(frozen=True)
class Krylov:
    """What a few products with a symmetric operator show of it: an orthonormal basis as rows, and A in that basis.

    In that basis A is tridiagonal, with ``diagonal`` and ``offdiagonal`` (the last of which leads out of the basis).
    """

    basis: Float[Tensor, "steps n"]
    diagonal: Float[Tensor, " steps"]
    offdiagonal: Float[Tensor, " steps"]


def krylov(
    operator: Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]], start: Float[Tensor, " n"], steps: int
) -> Krylov:
    """``steps`` products of Lanczos with full orthogonalisation, none of which waits for a number from the device.

    Where the basis becomes invariant before ``steps`` products the rows that are left are zero, and so are their
    entries.

    Raises
    ------
    ValueError
        For a start that is not a vector, or no steps.
    """
    if start.dim() != 1 or not start.numel():
        raise ValueError(f"start: got shape {tuple(start.shape)}; must be a vector")
    if steps < 1:
        raise ValueError(f"steps: got {steps}; must be at least 1")
    tiny = torch.finfo(start.dtype).tiny
    basis = start.new_zeros(steps, start.numel())
    diagonal, offdiagonal = start.new_zeros(steps), start.new_zeros(steps)
    basis[0] = start / start.norm().clamp_min(tiny)
    for step in range(steps):
        image = operator(basis[step])
        rest, overlap = _orthogonalised(image, basis[: step + 1])
        length = rest.norm()
        # what is left by rounding alone is no direction
        real = length > 10 * torch.finfo(start.dtype).eps * image.norm()
        length = torch.where(real, length, torch.zeros_like(length))
        diagonal[step], offdiagonal[step] = overlap[step], length
        if step + 1 < steps:
            basis[step + 1] = torch.where(length > 0, rest / length.clamp_min(tiny), torch.zeros_like(rest))
    return Krylov(basis, diagonal, offdiagonal)


def largest_ritz(diagonal: np.ndarray, offdiagonal: np.ndarray) -> tuple[float, float, np.ndarray]:
    """From a :class:`Krylov`'s numbers the largest Ritz value, its residual |A v − θ v|, and v in that basis.

    Some eigenvalue lies within the residual of it, and the largest eigenvalue is no smaller than it.
    """
    values, vectors, leads_out = _tridiagonal(diagonal, offdiagonal)
    weights = np.zeros(len(offdiagonal))
    weights[: len(values)] = vectors[:, -1]
    return float(values[-1]), float(leads_out * abs(vectors[-1, -1])), weights


def ritz(diagonal: np.ndarray, offdiagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From a :class:`Krylov`'s numbers the Ritz values, ascending, and the start's component along each Ritz vector.

    The squares of these are the weights of the Gauss quadrature for the start's spectral measure (Golub, Welsch 1969).
    """
    values, vectors, _ = _tridiagonal(diagonal, offdiagonal)
    return values, vectors[0]


def _tridiagonal(diagonal: np.ndarray, offdiagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Eigenvalues and vectors of the tridiagonal matrix up to where the basis closed, and what leads out of it."""
    inside = np.asarray(offdiagonal, dtype=np.float64)
    ends = np.flatnonzero(inside == 0)
    size = int(ends[0]) + 1 if len(ends) else len(inside)
    matrix = np.diag(np.asarray(diagonal, dtype=np.float64)[:size])
    matrix += np.diag(inside[: size - 1], 1) + np.diag(inside[: size - 1], -1)
    values, vectors = np.linalg.eigh(matrix)
    return values, vectors, float(inside[size - 1])


def _orthogonalised(image: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of a product outside the basis, and its coefficients in it; twice, since once loses digits."""
    overlap = vectors @ image
    rest = image - overlap @ vectors
    again = vectors @ rest
    return rest - again @ vectors, overlap + again


def _next_direction(rest: Tensor, length: float, scale: float, vectors: Tensor) -> Tensor:
    """The normalised rest; in an invariant subspace, where none is left, a fixed pseudo-random direction outside it."""
    if length <= 10 * torch.finfo(rest.dtype).eps * max(scale, torch.finfo(rest.dtype).tiny):
        generator = torch.Generator().manual_seed(len(vectors))
        rest, _ = _orthogonalised(torch.randn(rest.shape, generator=generator, dtype=torch.float64).to(rest), vectors)
    return rest / rest.norm()


def _nothing_beyond(values: Tensor, residuals: Tensor, order: Tensor, k: int, which: Which, tol: float) -> bool:
    """Whether the pair after the k-th looks settled below it: it may still move by about its residual."""
    if which == "BE":  # each end by itself
        ends: tuple[tuple[Which, int], ...] = (("LA", (k + 1) // 2), ("SA", k // 2))
        return all(_nothing_beyond(values, residuals, _order(values, e), n, e, tol) for e, n in ends if n)
    if len(order) < k + 2:
        return False
    following = order[k]
    grown = float(_key(values[following], which) + residuals[following])
    settled = float(residuals[following]) <= tol * float(values.abs().max())
    return settled or grown <= float(_key(values[order[k - 1]], which))


def _key(values: Tensor, which: Which) -> Tensor:
    return {"LA": values, "SA": -values, "LM": values.abs()}[which]


def _order(values: Tensor, which: Which) -> Tensor:
    if which == "BE":
        down = torch.argsort(values, descending=True)
        return torch.stack([down, down.flip(0)], dim=1).flatten()[: len(values)]
    return torch.argsort(_key(values, which), descending=True)
