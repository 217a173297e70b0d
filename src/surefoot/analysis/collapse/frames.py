"""Configurations of vectors that classes collapse to: a simplex, an orthogonal frame, one of given lengths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def orthogonal_frame(classes: int, dim: int, seed: int = 0) -> Float[Tensor, "dim classes"]:
    """Orthonormal columns in a random orientation.

    Raises
    ------
    ValueError
        If they don't fit into ``dim`` dimensions.
    """
    if not 1 <= classes <= dim:
        raise ValueError(f"dim: got {dim} for {classes} orthogonal classes; must be at least as large, and classes ≥ 1")
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(dim, classes, generator=generator, dtype=torch.float64)).Q


def general_orthogonal_frame(
    lengths: Sequence[float] | Float[Tensor, " classes"], dim: int, seed: int = 0
) -> Float[Tensor, "dim classes"]:
    """Orthogonal columns of the given lengths: what imbalanced classes collapse to.

    Raises
    ------
    ValueError
        For a negative length, or too few dimensions.
    """
    values = torch.as_tensor(lengths, dtype=torch.float64)
    if bool((values < 0).any()):
        raise ValueError("lengths: must not be negative")
    return orthogonal_frame(len(values), dim, seed) * values


def simplex_etf(classes: int, dim: int, seed: int = 0) -> Float[Tensor, "dim classes"]:
    """Unit columns of which each pair encloses the same, widest angle: cosine −1/(K − 1); they sum to 0.

    Raises
    ------
    ValueError
        For fewer than two classes, or fewer than K − 1 dimensions.
    """
    if classes < 2 or dim < classes - 1:
        raise ValueError(f"dim: got {dim} for {classes} classes; must be at least classes − 1, and classes at least 2")
    centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
    # the centred identity has rank K − 1: its columns in an orthonormal basis of that space
    basis = torch.linalg.svd(centred).U[:, : classes - 1]
    return orthogonal_frame(classes - 1, dim, seed) @ (basis.T @ centred) * (classes / (classes - 1)) ** 0.5
