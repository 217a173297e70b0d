"""Attention as numbers: how large its logits are, and how much of its choice among keys is left.

A softmax whose logits lie far apart is a maximum: its weights are 0 and 1, and what it passes back to the logits,
p ∘ (g − ⟨p, g⟩), is 0. The logits are quadratic in the weights while every other feature is linear in them, so that
they outgrow everything else where the learning rate is high (Wortsman et al. 2024, arXiv 2309.14322, §3.1).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def attention_logits(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    *,
    scale: float | None = None,
    mask: Bool[Tensor, ...] | Float[Tensor, ...] | None = None,
) -> Float[Tensor, "*batch queries keys"]:
    """Logits ⟨q, k⟩·scale in float32, −∞ where a key is masked; ``scale`` is 1/√width by default.

    ``mask`` broadcasts to the logits: True where a key is visible, or numbers that are added to them (as in
    :func:`torch.nn.functional.scaled_dot_product_attention`).
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"key: has width {key.shape[-1]}; the query's is {query.shape[-1]}, they must be the same")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (query.detach().float() * scale) @ key.detach().float().transpose(-2, -1)
    if mask is None:
        return logits
    mask = mask.detach()
    return logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask


def logit_max(logits: Float[Tensor, "*batch queries keys"]) -> Float[Tensor, ""]:
    """The largest absolute logit of a visible key (0-d); 0 where no key is visible."""
    return torch.where(torch.isneginf(logits), 0.0, logits).abs().amax()


def max_attention_logit(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    *,
    scale: float | None = None,
    mask: Bool[Tensor, ...] | Float[Tensor, ...] | None = None,
    causal: bool = False,
    chunk: int = 128,
) -> Float[Tensor, ""]:
    """:func:`logit_max` of all queries and keys, ``chunk`` queries at a time (0-d).

    Fused attention never writes its logits down; this needs memory for ``chunk`` · keys of them and not for all.

    Parameters
    ----------
    query, key, scale, mask
        As for :func:`attention_logits`.
    causal
        A query at position i sees the keys up to position i only; in place of a mask.
    chunk
        Queries at a time.
    """
    if chunk < 1:
        raise ValueError(f"chunk: got {chunk}; use at least one query at a time")
    if causal and mask is not None:
        raise ValueError("mask: causal attention has its own; pass one of them")
    queries, keys = query.shape[-2], key.shape[-2]
    largest = torch.zeros((), device=query.device)
    for begin in range(0, queries, chunk):
        rows = slice(begin, min(begin + chunk, queries))
        part = mask
        if causal:
            part = torch.arange(keys, device=query.device) <= torch.arange(queries, device=query.device)[rows, None]
        elif mask is not None and mask.dim() > 1 and mask.shape[-2] > 1:
            part = mask[..., rows, :]
        logits = attention_logits(query[..., rows, :], key, scale=scale, mask=part)
        largest = torch.maximum(largest, logit_max(logits))
    return largest


def attention_entropy(logits: Float[Tensor, "*batch queries keys"]) -> Float[Tensor, ""]:
    """Mean over queries of −Σ p ln p / ln(number of visible keys): 1 spread evenly, 0 all on one key (0-d).

    Queries that see fewer than two keys have no choice and are left out; NaN where there are no others.
    """
    visible = (~torch.isneginf(logits)).sum(-1)
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    entropy = -torch.where(p > 0, p * log_p, 0.0).sum(-1)
    return _mean_choice(entropy, visible)


def entropy_of_weights(weights: Float[Tensor, "*batch queries keys"]) -> Float[Tensor, ""]:
    """The same from attention weights alone; keys with weight 0 count as masked."""
    p = weights.detach().float()
    entropy = -torch.where(p > 0, p * p.log(), 0.0).sum(-1)
    return _mean_choice(entropy, (p > 0).sum(-1))


def visible_logits(
    logits: Float[Tensor, "*batch queries keys"], weights: Float[Tensor, "*batch queries keys"]
) -> Float[Tensor, "*batch queries keys"]:
    """Put −∞ where the attention ``weights`` show that a key was masked, though its logit was not.

    For attention written by hand, where the weights are known and the mask is not. With the largest weight's logit as
    the reference, a key of weight 0 whose logit would have given it a weight that float32 can hold was masked.
    """
    weights = weights.detach().float()
    top_weight, top = weights.max(-1, keepdim=True)
    expected = logits - logits.gather(-1, top) + top_weight.clamp_min(1e-38).log()
    return logits.masked_fill((weights == 0) & (expected > math.log(1e-30)), -math.inf)


def _mean_choice(entropy: Tensor, visible: Tensor) -> Tensor:
    choice = visible >= 2
    shares = torch.where(choice, entropy / visible.clamp_min(2).log(), 0.0)
    return shares.sum() / choice.sum()
