"""Rank statistics of features: how many directions a layer's outputs use, and how alike its tokens are.

Everything comes from Gram matrices of a few rows, so that only those have to leave an accelerator. Nothing is centred:
what a deep stack of attention loses is the difference of each token from their mean (Dong, Cordonnier, Loukas 2021,
arXiv 2103.03404), and that is measured against the whole.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


def gram(
    rows: Float[Tensor, "*groups rows features"], mask: Bool[Tensor, "*groups rows"] | None = None
) -> Float[Tensor, "*groups rows rows"]:
    """Gram matrices X Xᵀ in float32, scaled so that the largest entry of X is 1: safe for any scale of the rows.

    Rows of zeros stay zero, and rows where ``mask`` is False become zero: none of the statistics sees them.
    """
    rows = rows.detach().float()
    if mask is not None:
        rows = torch.where(mask.unsqueeze(-1), rows, 0.0)
    largest = rows.abs().amax((-2, -1), keepdim=True)
    rows = rows / largest.clamp_min(torch.finfo(torch.float32).tiny)
    return rows @ rows.transpose(-2, -1)


def stable_rank(grams: Float[np.ndarray, "*groups rows rows"]) -> Float[np.ndarray, "*groups"]:
    """‖X‖_F² / ‖X‖₂², between 1 and the rank; 0 for X = 0, NaN where X is not finite."""
    squares = _eigenvalues(grams)
    return _ratio(squares.sum(-1, keepdims=True), squares[..., -1:])[..., 0]


def effective_rank(grams: Float[np.ndarray, "*groups rows rows"]) -> Float[np.ndarray, "*groups"]:
    """exp(−Σ pᵢ ln pᵢ) of the shares pᵢ = sᵢ / Σ s of the singular values (Roy, Vetterli 2007); 0 for X = 0."""
    values = np.sqrt(_eigenvalues(grams))
    shares = _ratio(values, values.sum(-1, keepdims=True))
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(np.where(values[..., -1] > 0, np.exp(-(shares * logs).sum(-1)), values[..., -1]))


def token_cosine(grams: Float[np.ndarray, "*groups rows rows"]) -> Float[np.ndarray, "*groups"]:
    """Mean cosine between two different rows; rows of zeros are left out, NaN where fewer than two are left."""
    grams = np.asarray(grams, dtype=np.float64)
    lengths = np.sqrt(np.diagonal(grams, axis1=-2, axis2=-1))
    units = _ratio(np.ones_like(lengths), lengths)  # 0 for a row of zeros
    there = (lengths > 0).sum(-1)
    cosines = np.einsum("...ij,...i,...j->...", grams, units, units) - there
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there > 1, cosines / (there * (there - 1)), np.nan)
    return np.asarray(np.where(np.isnan(lengths).any(-1), np.nan, mean))


def _eigenvalues(grams: np.ndarray) -> np.ndarray:
    grams = np.asarray(grams, dtype=np.float64)
    finite = np.isfinite(grams).all((-2, -1))
    values = np.full(grams.shape[:-1], np.nan)
    if finite.any():
        # rounding of the float32 product gives eigenvalues down to −1e-7 of the largest
        values[finite] = np.linalg.eigvalsh(grams[finite])
        noise = np.finfo(np.float32).eps * values[..., -1:] * grams.shape[-1]
        values = np.where(values > noise, values, np.where(np.isnan(values), np.nan, 0.0))
    return values


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    nothing = np.broadcast_to(np.where(np.isnan(below), np.nan, 0.0), above.shape).copy()
    return np.divide(above, below, out=nothing, where=below > 0)
