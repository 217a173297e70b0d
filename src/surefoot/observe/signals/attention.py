"""Logits and entropy of every attention, on a sample of its batch, heads and queries."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.attention import (
    attention_entropy,
    attention_logits,
    entropy_of_weights,
    logit_max,
    visible_logits,
)
from surefoot.observe.attention_patch import AttentionPatch
from surefoot.observe.attention_sites import Attention, feeder, find_attentions
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.look import trains

BATCH, HEADS, QUERIES = 2, 8, 32  # of each attention so many are read
MOST = 1 << 18  # logits read of one attention
SITES = 64  # attentions read in one look
_SIGNALS = ("attention_logit_max", "attention_entropy", "query_norm", "key_norm")


class AttentionLogits(Instrument):
    """Reads the graph just before the script's backward; in a checkpointed model, where it tells nothing, the calls."""

    name = "attention"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: list[tuple[str, Tensor, Tensor, Tensor, Tensor]] = []
        self._patch = AttentionPatch(lambda args, kwargs: tools.guard(self.name, self._take, args, kwargs))
        self._open = False  # the forward of this step is under way, and only the patch can see its attentions
        self._thread = threading.get_ident()

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Forget what a step without an end left behind; stand before the attention of a checkpointed model."""
        self._read = []
        self._open = self.tools.scene.checkpointing
        if self._open:
            self._patch.put_on()

    def withdraw(self) -> None:
        """Restore the function."""
        self._open = False
        self._patch.take_off()

    def _take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._open or not trains(self._thread) or len(self._read) >= SITES:
            return
        given = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False)) | kwargs
        query, mask = given["query"], given.get("attn_mask")
        if type(query) is not Tensor or not query.requires_grad or query.is_meta:
            return
        with torch.no_grad():
            site = Attention(
                feeder(query.grad_fn),
                query.detach(),
                given["key"].detach(),
                given.get("scale"),
                None if mask is None else mask.detach(),
                bool(given.get("is_causal")),
            )
            self._keep(site)

    def _keep(self, site: Attention) -> None:
        values = read_attention(site)
        if values is not None:
            owned = None if site.layer is None else self.tools.scene.models.find(site.layer)
            self._read.append(("attention" if owned is None else owned.layer.name, *values))

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Find and read the attentions."""
        self._open = False
        if self.tools.scene.checkpointing:
            return  # to ask such a graph for what it saved would run its forward again
        self._read = []
        with torch.no_grad():
            for number, site in enumerate(find_attentions(view.nodes)):
                if number == SITES:
                    break
                self._keep(site)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write one value a layer: the largest logit; the means of entropy and of the lengths of queries and keys."""
        read, self._read = self._read, []
        if not read:
            return
        step, rows = self.tools.scene.clock.steps, self.tools.rows
        names = [name for name, *_ in read]

        def write(found: list[np.ndarray]) -> None:
            values = np.array(found, dtype=np.float64).reshape(len(names), len(_SIGNALS))
            for name in dict.fromkeys(names):
                mine = values[[other == name for other in names]]
                means = (float(known.mean()) if len(known := m[~np.isnan(m)]) else np.nan for m in mine[:, 1:].T)
                rows.put(step, self.name, name, **dict(zip(_SIGNALS, (float(mine[:, 0].max()), *means), strict=True)))

        self.tools.ask(step, [value for _, *values in read for value in values], write)


def read_attention(site: Attention) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Largest logit, mean entropy and mean length of queries and keys of a sample of one attention, all 0-d.

    None where nothing of it is known.
    """
    query, key, weights = site.query, site.key, site.weights
    if query is None or key is None or query.dim() < 3 or query.dim() != key.dim():
        return None if weights is None else _entropy_alone(weights)
    if not query.is_floating_point() or not query.numel() or not key.numel():
        return None
    queries, keys = query.shape[-2], key.shape[-2]
    mask = site.mask
    if weights is not None:
        if weights.numel() != query.shape[0] * queries * keys:
            return _entropy_alone(weights)
        weights = weights.reshape(-1, queries, keys)
    elif mask is not None:
        mask = mask[(None,) * (query.dim() - mask.dim())]
    elif site.causal:
        mask = torch.arange(queries, device=query.device)[:, None] >= torch.arange(keys, device=query.device)
        mask = mask[(None,) * (query.dim() - 2)]
    group, uneven = divmod(query.shape[-3], key.shape[-3])
    if uneven:
        return None
    if group > 1:  # grouped queries: the first of each group
        query = query[..., ::group, :, :]
        mask = mask[..., ::group, :, :] if mask is not None and mask.shape[-3] > 1 else mask
    cut = _cut(query.shape[:-1], keys)
    some = (*cut[:-1], slice(None))
    if weights is None:
        scale = site.scale if isinstance(site.scale, float) else None
        logits = attention_logits(query[cut], key[some], scale=scale, mask=None if mask is None else _fit(mask, cut))
    else:
        factor = 1.0 if site.scale is None else site.scale
        logits = visible_logits(attention_logits(query[cut], key[some], scale=1.0) * factor, weights[cut])
    queries_length, keys_length = (x.detach().float().norm(dim=-1).mean() for x in (query[cut], key[some]))
    return logit_max(logits), attention_entropy(logits), queries_length, keys_length


def _cut(shape: Sequence[int], keys: int) -> tuple[slice, ...]:
    """Which entries of (…, heads, queries) are read: evenly spaced, the last of each among them.

    Slices are views, and need no index that would have to be sent to a device.
    """
    lead = shape[:-1]
    most = [BATCH * HEADS] if len(lead) == 1 else [*[1] * (len(lead) - 2), BATCH, HEADS]
    blocks = math.prod(map(min, lead, most))
    return tuple(map(_spaced, shape, [*most, max(1, min(QUERIES, MOST // (blocks * keys)))]))


def _spaced(size: int, most: int) -> slice:
    step = -(-size // most)
    return slice((size - 1) % step, None, step)


def _fit(mask: Tensor, cut: tuple[slice, ...]) -> Tensor:
    return mask[tuple(slice(None) if size == 1 else part for size, part in zip(mask.shape, cut, strict=False))]


def _entropy_alone(weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    flat = weights.reshape(-1, weights.shape[-1])[
        _spaced(weights.numel() // weights.shape[-1], BATCH * HEADS * QUERIES)
    ]
    unknown = torch.full((), torch.nan, device=weights.device)
    return unknown, entropy_of_weights(flat), unknown, unknown
