"""Trace, Frobenius norm and diagonal of a symmetric operator from products with random vectors, with standard errors.

Hutchinson (1990); Hutch++: Meyer, Musco, Musco, Woodruff, arXiv 2010.09649; the diagonal: Bekas, Kokiopoulou, Saad
(2007).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.autodiff.operator import SymmetricOperator


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error over probes (0 where it is exact), and the products it took."""

    value: float
    stderr: float
    products: int


def trace(
    operator: SymmetricOperator,
    method: Literal["hutchinson", "hutch++", "exact"] = "hutchinson",
    n: int = 100,
    seed: int = 0,
) -> Estimate:
    """tr A from ``n`` products (``"exact"``: as many as there are rows).

    ``"hutchinson"`` averages vᵀAv over Rademacher vectors; its variance a probe is 2(‖A‖_F² − Σ A_ii²).
    ``"hutch++"`` spends a third of the products on the range of A, whose part of the trace is then exact; it pays where
    few eigenvalues are large.

    Raises
    ------
    ValueError
        For an unknown method, or fewer than 2 (``"hutch++"``: 6) products.
    """
    if method not in ("hutchinson", "hutch++", "exact"):
        raise ValueError(f"method: got {method!r}; must be 'hutchinson', 'hutch++' or 'exact'")
    least = 6 if method == "hutch++" else 2
    if n < least and method != "exact":
        raise ValueError(f"n: got {n}; must be at least {least} products for {method!r}")
    if method == "exact":
        return Estimate(float(operator.diag(force=True).double().sum()), 0.0, operator.size)
    generator = torch.Generator().manual_seed(seed)
    if method == "hutchinson":
        values = [_dot(v, operator(v)) for v in (_signs(operator, generator) for _ in range(n))]
        return _mean(values, n)
    third = n // 3
    sketch = torch.stack([operator(_signs(operator, generator)) for _ in range(third)], dim=1)
    basis = torch.linalg.qr(sketch).Q
    inside = sum(_dot(q, operator(q)) for q in basis.T)
    values = []
    for _ in range(n - 2 * third):
        v = _signs(operator, generator)
        v = v - basis @ (basis.T @ v)
        values.append(_dot(v, operator(v)))
    rest = _mean(values, n)
    return Estimate(inside + rest.value, rest.stderr, n)


def frobenius_norm(operator: SymmetricOperator, n: int = 30, seed: int = 0) -> Estimate:
    """‖A‖_F from E‖Av‖² = ‖A‖_F²; the standard error is that of the square, carried to the root.

    Raises
    ------
    ValueError
        For fewer than 2 products.
    """
    if n < 2:
        raise ValueError(f"n: got {n}; must be at least 2 products")
    generator = torch.Generator().manual_seed(seed)
    images = (operator(_signs(operator, generator)) for _ in range(n))
    square = _mean([_dot(image, image) for image in images], n)
    root = math.sqrt(square.value)
    return Estimate(root, square.stderr / (2 * root) if root else 0.0, n)


def diagonal(
    operator: SymmetricOperator, n: int = 100, seed: int = 0
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The diagonal as E[v ⊙ Av] over Rademacher vectors, and the standard error of each entry.

    Raises
    ------
    ValueError
        For fewer than 2 products.
    """
    if n < 2:
        raise ValueError(f"n: got {n}; must be at least 2 products")
    generator = torch.Generator().manual_seed(seed)
    mean = torch.zeros(operator.size, dtype=torch.float64, device=operator.device)
    spread = torch.zeros_like(mean)
    for i in range(1, n + 1):  # Welford's recurrence
        v = _signs(operator, generator)
        away = (v * operator(v)).double() - mean
        mean += away / i
        spread += away.square() * (i - 1) / i
    return mean.to(operator.dtype), (spread / (n - 1) / n).sqrt().to(operator.dtype)


def _signs(operator: SymmetricOperator, generator: torch.Generator) -> Tensor:
    signs = torch.randint(2, (operator.size,), generator=generator) * 2 - 1
    return signs.to(operator.device, operator.dtype)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double())


def _mean(values: list[float], products: int) -> Estimate:
    numbers = torch.tensor(values, dtype=torch.float64)
    return Estimate(float(numbers.mean()), float(numbers.std() / math.sqrt(len(values))), products)
