"""Doubly stochastic matrices: every row and column sums to 1, so that mixing with them keeps what is mixed.

Their spectral norm is 1, products of them are doubly stochastic again, and the sum over what they mix does not change.

Source: Sinkhorn, Knopp 1967; "mHC: Manifold-Constrained Hyper-Connections", arXiv 2512.24880, for their use between
residual streams.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

_MOST = 5  # streams; 6! = 720 weights a token are no saving


def sinkhorn_knopp(logits: Float[Tensor, "*batch n n"], iters: int = 20) -> Float[Tensor, "*batch n n"]:
    """Scale exp(logits) to a doubly stochastic matrix: columns to sum 1, then rows, ``iters`` times.

    Rows sum to 1 to round-off, columns as far as ``iters`` iterations come. In the logarithmic domain, so that logits
    may be of any size.

    Parameters
    ----------
    logits : of any floating dtype; computed in float32, or float64 if that is what they are
    iters : at least 1

    Returns
    -------
    Tensor
        Of the shape and dtype of ``logits``.

    Raises
    ------
    ValueError
        If the matrices are not square, hold a NaN, or ``iters`` is below 1.

    Source: arXiv 2512.24880, projection of H_res.
    """
    if logits.dim() < 2 or logits.shape[-1] != logits.shape[-2]:
        raise ValueError(f"logits: got shape {tuple(logits.shape)}; must be (..., n, n)")
    if iters < 1:
        raise ValueError(f"iters: got {iters}; must be at least 1")
    if logits.isnan().any():
        raise ValueError("logits: there is a NaN among them; look for it where they are made")
    return project(logits, iters)


def project(logits: Float[Tensor, "*batch n n"], iters: int = 20) -> Float[Tensor, "*batch n n"]:
    """:func:`sinkhorn_knopp` without its checks, one of which waits for the device."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    # the batch last: sums over n rows are then sums of n long vectors
    wide = wide.reshape(wide.shape[:-2].numel(), *wide.shape[-2:]).permute(1, 2, 0).contiguous()
    for _ in range(iters):
        wide = wide.log_softmax(0).log_softmax(1)
    return wide.exp().permute(2, 0, 1).reshape(logits.shape).to(logits.dtype)


def birkhoff_from_permutations(logits: Float[Tensor, "*batch permutations"]) -> Float[Tensor, "*batch n n"]:
    """Σ_p softmax(logits)_p P_p over all n! permutation matrices: doubly stochastic exactly, without iterations.

    Parameters
    ----------
    logits : n! of them for n up to 5, in the order of :func:`itertools.permutations`, the identity first; row i of
        P_p has its 1 in column p(i)

    Raises
    ------
    ValueError
        If their number is none of 1, 2, 6, 24, 120.

    Source: Birkhoff 1946; the form called mHC-lite.
    """
    sizes = {math.factorial(n): n for n in range(1, _MOST + 1)}
    if logits.dim() < 1 or logits.shape[-1] not in sizes:
        raise ValueError(f"logits: got shape {tuple(logits.shape)}; the last must be n! for n up to {_MOST}: 1, 2, 6, "
                         "24 or 120")  # fmt: skip
    n = sizes[logits.shape[-1]]
    wide = logits if logits.dtype == torch.float64 else logits.float()
    mixed = wide.softmax(-1) @ _permutations(n).to(wide)
    return mixed.reshape(*logits.shape[:-1], n, n).to(logits.dtype)


@cache
def _permutations(n: int) -> Tensor:
    """All permutation matrices as rows, shape (n!, n²)."""
    return torch.stack([torch.eye(n)[list(p)].flatten() for p in itertools.permutations(range(n))])


def composite_gain(mixings: Float[Tensor, "depth n n"]) -> tuple[float, float]:
    """The largest absolute row sum and column sum of the product of the mixings, the later one on the left.

    The row sum bounds how much a signal of all streams grows on its way forward, the column sum the same for the
    gradient on its way back. Both are 1 for doubly stochastic matrices. Computed in float64.

    Source: arXiv 2512.24880 ("composite gain").
    """
    product = torch.eye(mixings.shape[-1], dtype=torch.float64, device=mixings.device)
    for mixing in mixings.detach().double():
        product = mixing @ product
    return float(product.abs().sum(-1).max()), float(product.abs().sum(-2).max())
