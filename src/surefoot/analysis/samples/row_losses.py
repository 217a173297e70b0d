"""Each row's own loss, from what the loss function saved for its backward; no forward is run for it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROW_LOSSES = frozenset(
    [
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
    ]
)
"""The loss functions whose rows are known."""


def row_losses(
    name: str,
    inputs: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    beta: float = 1.0,
) -> Float[Tensor, " n"]:
    """The loss of each row (dimension 0), averaged over its other dimensions; class weights are left out.

    Parameters
    ----------
    name : the function in :mod:`torch.nn.functional`; one of :data:`ROW_LOSSES`
    inputs : what that function saved: log-probabilities ``(n, classes, …)`` for the cross-entropy and ``nll_loss``,
        probabilities or logits for the binary ones, predictions else
    targets : of the same rows
    ignore_index : labels that count for nothing; a row of nothing else has loss 0
    beta : where smooth-L1 and Huber turn from a square to a straight line

    Raises
    ------
    ValueError
        For a loss function that is not known, or targets of other rows.
    """
    if name not in ROW_LOSSES:
        raise ValueError(f"name: got {name!r}; must be one of {', '.join(sorted(ROW_LOSSES))}")
    if inputs.dim() == 0 or targets.dim() == 0 or inputs.shape[0] != targets.shape[0]:
        raise ValueError(
            f"targets: got shape {tuple(targets.shape)} with inputs {tuple(inputs.shape)}; must have the same rows"
        )
    inputs, targets = inputs.detach(), targets.detach()
    if name in ("cross_entropy", "nll_loss"):
        counts = targets != ignore_index
        picked = inputs.gather(1, targets.clamp(0, inputs.shape[1] - 1).unsqueeze(1)).squeeze(1)
        losses = torch.where(counts, -picked, 0).float().flatten(1) if targets.dim() > 1 else None
        if losses is None:
            return torch.where(counts, -picked, 0).float()
        return losses.sum(dim=1) / counts.flatten(1).sum(dim=1).clamp_min(1)
    inputs, targets = inputs.float(), targets.float()
    if name == "binary_cross_entropy":
        losses = F.binary_cross_entropy(inputs, targets, reduction="none")
    elif name == "binary_cross_entropy_with_logits":
        losses = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    elif name == "smooth_l1_loss":
        losses = F.smooth_l1_loss(inputs, targets, reduction="none", beta=beta)
    elif name == "l1_loss":
        losses = (inputs - targets).abs()
    elif name == "huber_loss":
        losses = F.huber_loss(inputs, targets, reduction="none", delta=beta)
    else:
        losses = (inputs - targets).square()
    return losses.reshape(losses.shape[0], -1).mean(dim=1)


def top_share(losses: Float[Tensor, " n"], share: float = 0.05) -> Tensor:
    """Share of the whole loss that the top ``share`` of the rows carries (one row at least), 0-d.

    ``share`` itself where all rows score the same; 1 where a few rows have all the loss.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}; must be in (0, 1]")
    top = losses.topk(max(1, math.ceil(share * len(losses)))).values
    return top.sum() / losses.sum()


def expansion(inputs: Tensor, targets: Tensor) -> float:
    """How many times more pairs a loss compares than it was given numbers: 1 is right, n is (n, 1) against (n,).

    Broadcasting expands without copying, so that an expanded dimension has stride 0. Where only one side was expanded
    (one target for all rows) each number of the other side is still used once.
    """
    return inputs.numel() / max(1, _distinct(inputs), _distinct(targets))


def _distinct(tensor: Tensor) -> int:
    """Numbers that are really there."""
    return math.prod(
        size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride != 0 or size == 0
    )
