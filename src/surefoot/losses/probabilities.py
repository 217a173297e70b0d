"""Losses of probabilities, where a model must go on returning them."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def logits_of(
    probabilities: Float[Tensor, "*batch"], link: Literal["softmax", "sigmoid"] = "softmax"
) -> Float[Tensor, "*batch"]:
    """Numbers of which the softmax (or sigmoid) gives back these probabilities.

    ``softmax(log p) = p`` as p sums to one, and ``sigmoid(log p − log(1 − p)) = p``: a loss function that has its own
    softmax or sigmoid, or that wants log-probabilities, then gives what it would give for the logits.

    Parameters
    ----------
    probabilities : in [0, 1]; what rounding has made 0 (or 1, for a sigmoid) goes to the nearest that has a logarithm
    link : which function made them

    Raises
    ------
    ValueError
        If ``link`` is another word.
    """
    if link not in ("softmax", "sigmoid"):
        raise ValueError(f"link is {link!r}; it must be 'softmax' or 'sigmoid'")
    limits = torch.finfo(probabilities.dtype)
    above_zero = probabilities.clamp_min(limits.tiny)
    if link == "softmax":
        return above_zero.log()
    return above_zero.log() - (1 - probabilities).clamp_min(limits.eps / 2).log()
