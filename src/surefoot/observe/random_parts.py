"""The random parts of a loss, as its graph shows them: reparametrised samples and policy-gradient terms.

Only nodes are followed and what they saved is read, as in ``graph.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from surefoot.observe.nodes import ACCUMULATE, Node, saved

# Ops that leave the numbers of a tensor, and which of them there are, as they are.
_SAME_NUMBERS = frozenset(
    [
        "ViewBackward0",
        "ReshapeAliasBackward0",
        "UnsafeViewBackward0",
        "ExpandBackward0",
        "CloneBackward0",
        "AliasBackward0",
        "ToCopyBackward0",
        "UnsqueezeBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
    ]
)
# What log-probabilities are made of: categorical, normal, Bernoulli.
_LOG_PROBABILITY = frozenset(
    [
        "LogSoftmaxBackward0",
        "LogsumexpBackward0",
        "NllLossBackward0",
        "NllLoss2DBackward0",
        "PowBackward0",
        "BinaryCrossEntropyWithLogitsBackward0",
    ]
)
_PROBABILITY = frozenset(["SoftmaxBackward0", "SigmoidBackward0"])  # its logarithm may be taken by hand
_HEAD = 400  # nodes between a loss and the last layer that are looked at

_Edge = tuple[Node, int]  # one output of a node


@dataclass(slots=True)
class Reparametrised:
    """A sample z = μ + σ·ε whose divergence from a standard normal is in the loss too."""

    mean: Tensor
    std: Tensor
    made_by: Node  # of μ


@dataclass(slots=True)
class PolicyTerms:
    """Factors that log-probabilities are multiplied by and that take no gradient themselves, and the logits."""

    factors: list[Tensor]
    logits: Tensor | None = None
    by_hand: bool = False  # logarithms of probabilities: those of a loss as well as those of a policy


def find_reparametrised(nodes: Sequence[Node]) -> Reparametrised | None:
    """The first reparametrised normal sample in the graph whose mean is also squared (as it is in the KL term)."""
    names = {node: node.name() for node in nodes}
    samples: list[tuple[_Edge, Node]] = []  # the mean's edge, the node that made σ
    for node in nodes:
        edges = _edges(node)
        if names[node] != "AddBackward0" or len(edges) != 2:
            continue
        for mean, noise in (edges, edges[::-1]):
            below = _edges(noise[0])
            if noise[0].name() == "MulBackward0" and len(below) == 1 and mean[0].name() != ACCUMULATE:
                samples.append((_source(mean), _source(below[0])[0]))
    for mean, scale in samples:
        std = _scale(scale)
        if std is None:
            continue
        for node in nodes:
            if names[node] not in ("PowBackward0", "MulBackward0"):
                continue
            edges = _edges(node)
            if names[node] == "PowBackward0":
                squares = getattr(node, "_saved_exponent", None) == 2 and len(edges) == 1
            else:
                squares = len(edges) == 2
            if squares and all(_source(edge, shifted=True) == mean for edge in edges):
                value = saved(node, "self")
                if value is not None and value.shape == std.shape and value.dim() >= 2:
                    return Reparametrised(value, std, mean[0])
    return None


def find_policy_terms(roots: Iterable[Tensor]) -> PolicyTerms | None:
    """Products of log-probabilities with what takes no gradient, between a loss and the model's last layer."""
    order: list[Node] = []
    below: dict[Node, list[Node]] = {}
    stack = [root.grad_fn for root in roots if root.grad_fn is not None]
    while stack and len(order) < _HEAD:
        node = stack.pop()
        if node in below:
            continue
        children = [child for child, _ in _edges(node)]
        order.append(node)
        # a parameter joins here: this is the last layer, and below it is the model
        below[node] = [] if any(_is_weight(child) for child in children) else children
        stack.extend(below[node])
    products = [(node, factor) for node in order if (factor := _factor(node)) is not None]
    if not products:
        return None
    factors: list[Tensor] = []
    logits, by_hand = None, False
    for product, factor in products:
        inner = _below(product, below)
        speaks = any(n.name() in _LOG_PROBABILITY for n in inner)
        logged = None if speaks else _logged(inner, below)
        if not speaks and logged is None:
            continue
        by_hand |= not speaks
        factors.append(factor)
        if logits is None and logged is not None:
            logits = _log_of(logged)
        for node in inner:
            if logits is None and node.name() == "LogSoftmaxBackward0":
                logits = saved(node, "result")
            elif logits is None and node.name() == "LogsumexpBackward0":
                logits = saved(node, "self")
    return PolicyTerms(factors, logits, by_hand) if factors else None


def _logged(inner: list[Node], below: dict[Node, list[Node]]) -> Node | None:
    """What made the probabilities of which a logarithm is taken by hand, and has them yet."""
    makers = (made for node in inner if node.name() == "LogBackward0" for made in _below(node, below))
    return next((m for m in makers if m.name() in _PROBABILITY and saved(m, "result") is not None), None)


def _log_of(maker: Node) -> Tensor | None:
    """The logits of a softmax's result; of a sigmoid's, those of yes and no."""
    shares = saved(maker, "result")
    if shares is None:
        return None
    both = shares if maker.name() == "SoftmaxBackward0" else torch.stack([shares, 1 - shares], -1)
    return both.clamp_min(torch.finfo(both.dtype).tiny).log()


def _edges(node: Node) -> list[_Edge]:
    return [(child, place) for child, place in node.next_functions if child is not None]


def _source(edge: _Edge, shifted: bool = False) -> _Edge:
    """The output behind ops that keep the numbers; ``shifted``: and behind those that shift and divide by constants."""
    while True:
        name, edges = edge[0].name(), _edges(edge[0])
        plain = name in _SAME_NUMBERS or (shifted and name in ("SubBackward0", "DivBackward0"))
        if not plain or len(edges) != 1:
            return edge
        edge = edges[0]


def _scale(node: Node) -> Tensor | None:
    """The standard deviation that a node made, where it saved what tells it."""
    for _ in range(3):
        name = node.name()
        if name in ("ExpBackward0", "SqrtBackward0"):
            return saved(node, "result")
        if name == "SoftplusBackward0":
            value = saved(node, "self")
            return None if value is None else F.softplus(value)
        edges = _edges(node)
        if name != "AddBackward0" or len(edges) != 1:  # softplus(·) + a small constant
            return None
        node = _source(edges[0])[0]
    return None


def _factor(node: Node) -> Tensor | None:
    """What a product is multiplied by, if that takes no gradient and is more than one fixed number."""
    if node.name() != "MulBackward0" or len(_edges(node)) != 1:
        return None
    factor = saved(node, "self", "other")
    return factor if factor is not None and factor.is_floating_point() and factor.numel() else None


def _is_weight(node: Node) -> bool:
    name = node.name()
    if name == "TBackward0" or name == "ToCopyBackward0":
        return any(child.name() == ACCUMULATE for child, _ in _edges(node))
    return name == ACCUMULATE


def _below(node: Node, below: dict[Node, list[Node]]) -> list[Node]:
    found: list[Node] = []
    seen = {node}
    stack = list(below.get(node, ()))
    while stack:
        inner = stack.pop()
        if inner in seen:
            continue
        seen.add(inner)
        found.append(inner)
        stack.extend(below.get(inner, ()))
    return found
