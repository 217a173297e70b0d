"""``qk-clip``: after a step whose attention logits went beyond a bound, weights of queries and keys are made smaller.

Attentions are found in the graph of each backward, hand-written ones too. Which entries of which weights make queries
and which keys, a backward of ours from queries and keys tells: in a fused projection it is some rows of one weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.nn import Parameter
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, parameters_of
from surefoot.observe.attention_sites import Edge, feeding_layer, find_attentions
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.nodes import ACCUMULATE
from surefoot.observe.signals.attention import read_attention
from surefoot.optim.qk_clip import qk_clip_factor

_Part = tuple[Parameter, Tensor]  # a weight, and which of its entries (broadcast to it)


@dataclass
class _Site:
    """One attention's weights: ``sides`` is how many of queries and keys are made by weights."""

    parts: list[_Part]
    sides: int
    largest: Tensor | None = None  # logit since the last step


class QKClip(Cure):
    """Multiplies by :func:`surefoot.optim.qk_clip.qk_clip_factor` what :func:`surefoot.optim.qk_clip_` would."""

    id = "qk-clip"

    def __init__(self, desk: Desk, tau: float) -> None:
        super().__init__(desk)
        self.tau = tau
        self._sites: dict[tuple[int, ...], _Site] = {}  # by the weights that feed queries and keys
        self._largest = 0.0

    def at_backward(self, tensors: Any) -> None:
        """Read the largest logit of every attention in the graph."""
        for found in find_attentions(read_graph(roots_of(tensors)).nodes):
            values = read_attention(found)
            if values is None or found.edges is None or found.query is None:
                continue  # of these the logits are not known
            own = tuple(id(fed.parameter) for edge in found.edges for fed in feeding_layer(edge[0]))
            site = self._sites.get(own)
            if site is None:
                site = self._sites[own] = _site(found.edges)
            if site.parts:
                site.largest = values[0] if site.largest is None else torch.maximum(site.largest, values[0])

    def after_step(self, optimizer: Optimizer) -> None:
        """Shorten what this optimiser has moved. Reading the logits waits for the device."""
        moved = {id(p) for p in parameters_of(optimizer)}
        clipped = False
        for site in self._sites.values():
            if site.largest is None or not any(id(p) in moved for p, _ in site.parts):
                continue
            largest, site.largest = float(site.largest), None
            self._largest = max(self._largest, largest)
            factor = qk_clip_factor(largest, self.tau, site.sides)
            if factor < 1:
                clipped = True
                for weight, mask in site.parts:
                    weight.detach().mul_(torch.where(mask, factor, 1.0).to(weight.dtype))
        if clipped:
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not any(site.parts for site in self._sites.values()):
            self.note("no attention was found whose queries or keys are made by weights; nothing was changed")

    def summary(self) -> str:
        """How often, and what it was for."""
        return (
            f"made queries and keys of {len(self._sites):,} attentions shorter after {self.acted:,} steps, the largest "
            f"logit being {self._largest:.3g}"
        )


def _site(edges: tuple[Edge, Edge]) -> _Site:
    """Whose entries make queries and keys; each once, though it makes both."""
    sides = [list(_parts(edge)) for edge in edges]
    merged: dict[int, _Part] = {}
    for parameter, mask in (part for side in sides for part in side):
        known = merged.get(id(parameter))
        merged[id(parameter)] = (parameter, mask if known is None else known[1] | mask)
    return _Site(list(merged.values()), max(1, sum(map(bool, sides))))


def _parts(edge: Edge) -> Iterator[_Part]:
    """The entries of the nearest layer's parameters that queries, or keys, are made by. The rows of a table are shared
    with what else looks them up, and stay."""
    feeds = [fed for fed in feeding_layer(edge[0]) if not fed.layer.name().startswith("Embedding")]
    if not feeds:
        return
    like = edge[0]._input_metadata[edge[1]]
    cotangent = torch.randn(like.shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    gradients = torch.autograd.grad(
        [GradientEdge(*edge)], [fed.parameter for fed in feeds], [cotangent], retain_graph=True, allow_unused=True
    )
    for fed, gradient in zip(feeds, gradients, strict=True):
        if gradient is None:
            continue
        used = gradient != 0
        dims = used.dim()
        if dims > 1:  # an input may be 0 throughout: a row of an output is made by all of it, or by nothing
            outputs = 1 if dims == 2 and fed.by.name() == ACCUMULATE else 0  # of x @ W, and of x @ W.T
            used = used.transpose(0, outputs).flatten(1).any(1)
            used = used.reshape([-1 if dim == outputs else 1 for dim in range(dims)])
        yield fed.parameter, used
