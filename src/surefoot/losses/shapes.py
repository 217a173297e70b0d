"""Predictions and targets of one shape, before a loss broadcasts them."""

from __future__ import annotations

from torch import Tensor


def match_shapes(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Take off the last dimension of one that is 1 and that the other does not have.

    ``(n, 1)`` and ``(n,)`` would broadcast to ``(n, n)``: each prediction is compared with every target, and the best
    that can be learned is the targets' mean.

    Parameters
    ----------
    predictions, targets : tensors; shapes ``(*dims, 1)`` and ``(*dims,)``, either way round, are matched

    Returns
    -------
    tuple of Tensor
        Both of shape ``(*dims,)``; the very same tensors where nothing is to be done.

    Examples
    --------
    >>> import torch
    >>> from surefoot.losses import match_shapes
    >>> [tuple(t.shape) for t in match_shapes(torch.zeros(8, 1), torch.zeros(8))]
    [(8,), (8,)]
    """
    if predictions.shape == (*targets.shape, 1):
        return predictions.squeeze(-1), targets
    if targets.shape == (*predictions.shape, 1):
        return predictions, targets.squeeze(-1)
    return predictions, targets
