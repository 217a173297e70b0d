"""z-loss: a quadratic penalty on log Z = logsumexp(logits), which the cross-entropy leaves free.

A softmax does not change when a constant is added to all logits, so nothing keeps them from drifting away together;
the penalty ties log Z to 0. Source: Wortsman et al., "Small-scale proxies for large-scale Transformer training
instabilities", ICLR 2024, arXiv 2309.14322, section 3.1.2 (after Chowdhery et al. 2022, arXiv 2204.02311: 10⁻⁴).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefoot.losses.stablemax import Reduction


def z_loss(
    logits: Float[Tensor, "*batch classes"],
    coef: float = 1e-4,
    mask: Bool[Tensor, "*batch"] | None = None,
) -> Float[Tensor, ""]:
    """coef · mean of (log Z)² over the rows that count, with log Z in float32 at least.

    Its gradient in a logit z_i is 2 · coef · log Z · softmax(z)_i, averaged over the rows.

    Parameters
    ----------
    logits
        Classes last.
    coef
        Weight of the term.
    mask
        True where a row counts (not padding); at least one has to.

    Returns
    -------
    Tensor
        0-d, to be added to the cross-entropy.

    Raises
    ------
    TypeError
        If the logits are not floating-point.
    ValueError
        If ``coef`` is negative or not finite, or the mask is not one of the rows'.

    Source: arXiv 2309.14322, section 3.1.2.
    """
    _check(logits, coef)
    squares = _log_z(logits, -1).square()
    if mask is None:
        return coef * squares.mean()
    if mask.dtype != torch.bool or mask.shape != squares.shape:
        raise ValueError(
            f"mask: got {mask.dtype} of shape {tuple(mask.shape)}; use bool of shape {tuple(squares.shape)}"
        )
    return coef * torch.where(mask, squares, 0).sum() / mask.sum()


class CrossEntropyWithZLoss(NamedTuple):
    """The sum that is minimised, and its two terms, of which the cross-entropy is what other runs show."""

    total: Tensor
    cross_entropy: Tensor
    z_loss: Tensor


def cross_entropy_with_z_loss(
    logits: Float[Tensor, ...],
    targets: Int[Tensor, ...] | Float[Tensor, ...],
    weight: Float[Tensor, " classes"] | None = None,
    *,
    coef: float = 1e-4,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> CrossEntropyWithZLoss:
    """Cross-entropy and z-loss together, of one logsumexp; called like :func:`torch.nn.functional.cross_entropy`.

    Parameters
    ----------
    logits, targets, weight, ignore_index, reduction, label_smoothing
        As for torch's function: (classes,), (batch, classes) or (batch, classes, positions…). Class weights and
        smoothing are the cross-entropy's alone; ignored targets count in neither.
    coef
        Weight of the z-loss.

    Returns
    -------
    CrossEntropyWithZLoss
        ``total`` = ``cross_entropy`` + ``z_loss``; each 0-d, or one value a target with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`z_loss`, and as torch's function for what it refuses.

    Source: arXiv 2309.14322, section 3.1.2.
    """
    _check(logits, coef)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: got {reduction!r}; use 'none', 'mean' or 'sum'")
    dim = 0 if logits.dim() == 1 else 1
    log_z = _log_z(logits, dim)
    z = _penalty(log_z, targets, coef, ignore_index, reduction)
    if not targets.is_floating_point() and label_smoothing == 0:
        log_probabilities = logits.to(log_z.dtype) - log_z.unsqueeze(dim)
        wide = None if weight is None else weight.to(log_z.dtype)
        ce = F.nll_loss(log_probabilities, targets, wide, ignore_index=ignore_index, reduction=reduction)
    else:
        ce = F.cross_entropy(
            logits, targets, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )
    return CrossEntropyWithZLoss(ce + z.to(ce.dtype), ce, z)


def penalty(
    logits: Float[Tensor, ...], targets: Tensor, coef: float, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Float[Tensor, ...]:
    """The z-loss alone, for logits and targets as :func:`torch.nn.functional.cross_entropy` has them.

    Parameters are those of :func:`cross_entropy_with_z_loss`, and so are shape and dtype of its ``z_loss``.
    """
    _check(logits, coef)
    return _penalty(_log_z(logits, 0 if logits.dim() == 1 else 1), targets, coef, ignore_index, reduction)


def _penalty(log_z: Tensor, targets: Tensor, coef: float, ignore_index: int, reduction: Reduction) -> Tensor:
    squares = coef * log_z.square()
    if targets.is_floating_point():
        kept = torch.ones_like(squares, dtype=torch.bool)
    else:
        kept = targets != ignore_index
        squares = torch.where(kept, squares, 0)
    if reduction == "none":
        return squares
    return squares.sum() if reduction == "sum" else squares.sum() / kept.sum()


def _log_z(logits: Tensor, dim: int) -> Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.logsumexp(logits.to(wide), dim=dim)


def _check(logits: Tensor, coef: float) -> None:
    if not logits.is_floating_point():
        raise TypeError(f"logits: got {logits.dtype}; pass a floating-point tensor")
    if not logits.dim():
        raise ValueError("logits: got a number; classes are a dimension")
    if not (math.isfinite(coef) and coef >= 0):
        raise ValueError(f"coef: got {coef}; use a number ≥ 0, such as 1e-4")
