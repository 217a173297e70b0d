"""QK-Clip: queries and keys are made shorter whenever an attention logit has grown beyond a bound.

A logit is quadratic in the weights of queries and keys, so that it outgrows all else at a high learning rate. After a
step in which the largest logit was S > τ, both weights are multiplied by √(τ/S): the same forward then has τ as its
largest. Nothing else of the model or its optimiser changes, and where no logit exceeds τ nothing does.

Source: Kimi Team 2025, "Kimi K2: Open Agentic Intelligence", arXiv 2507.20534, §2.1 (QK-Clip; their τ is 100, for
heads of a large model; here it is for one attention as a whole).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def qk_clip_factor(max_logit: float, tau: float, sides: int = 2) -> float:
    """What weights are to be multiplied by, on each of ``sides`` (queries and keys, or one of them), 1 at most.

    Raises
    ------
    ValueError
        If ``tau`` is not positive.
    """
    if not (math.isfinite(tau) and tau > 0):
        raise ValueError(f"tau: got {tau}; use a positive number such as 20")
    if not math.isfinite(max_logit) or max_logit <= tau:
        return 1.0
    return (tau / max_logit) ** (1 / sides)


@torch.no_grad()
def qk_clip_(query: Iterable[Tensor], key: Iterable[Tensor], max_logit: float, tau: float = 20.0) -> float:
    """Shorten queries and keys, in place, so that the largest logit comes back to ``tau``.

    Parameters
    ----------
    query, key
        Weights and biases that make queries, and those that make keys; of a fused projection the rows of each, as in
        ``qkv.weight.detach()[:width]``.
    max_logit
        The largest absolute logit of the step just taken; see :func:`surefoot.analysis.attention.max_attention_logit`.
    tau
        The bound. At 20 one key can have all but e⁻²⁰ of the weight, and the softmax still passes a gradient on.

    Returns
    -------
    float
        What they were multiplied by; 1 where nothing was done.

    Examples
    --------
    >>> query, key = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    >>> qk_clip_(query.parameters(), key.parameters(), max_logit=80.0)
    0.5
    """
    factor = qk_clip_factor(max_logit, tau)
    if factor < 1:
        for weight in (*query, *key):
            weight.detach().mul_(factor)
    return factor
