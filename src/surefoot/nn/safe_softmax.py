"""Softmax that gives zeros where nothing is left to choose from.

A row whose scores are all −∞, as of a query that may look at no key, has 0/0 in it: NaN, forward and backward. A query
without keys takes nothing from the values, so that its weights are 0, as they are inside PyTorch's
``scaled_dot_product_attention``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def safe_softmax(scores: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
    """Softmax along ``dim``; all 0 where all scores are −∞, and no gradient from there.

    Other rows have the numbers of :func:`torch.softmax`, bit for bit.

    Examples
    --------
    >>> safe_softmax(torch.tensor([[0.0, 0.0], [-torch.inf, -torch.inf]])).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """
    empty = torch.isneginf(scores).all(dim, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim).masked_fill(empty, 0.0)
