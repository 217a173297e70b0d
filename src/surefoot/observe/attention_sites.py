"""Find the attentions of a forward in its autograd graph: fused kernels, and softmax between two matrix products, of
which either may be written as a product and a sum (one query to many keys).

The graph keeps queries and keys for the script's own backward, so nothing has to stand in the way of
``scaled_dot_product_attention``: whichever kernel the script got, from whichever name it called it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from surefoot.observe.nodes import ACCUMULATE, Node, saved

# What may lie between the product of queries and keys and the softmax …
_SHAPES = frozenset(
    f"{kind}Backward{version}"
    for kind in ("View", "UnsafeView", "ReshapeAlias", "Expand", "Clone", "ToCopy", "Permute", "Alias", "Unsqueeze",
                 "Squeeze", "Transpose", "Mul", "Div", "MaskedFill", "Where")
    for version in (0, 1)
)  # fmt: skip
_TO_LOGITS = _SHAPES | {"AddBackward0", "AddBackward1", "SubBackward0", "SubBackward1"}
# … and between the softmax and the product with the values.
_TO_VALUES = _SHAPES | {"NativeDropoutBackward0"}
_SOFTMAX = frozenset(("SoftmaxBackward0", "SafeSoftmaxBackward0"))
_FUSED = "ScaledDotProduct"
_FAR = 16  # nodes
Edge = tuple[Node, int]


@dataclass(slots=True)
class Attention:
    """One attention: queries (…, T, d), keys (…, S, d), and what else is known of it.

    ``weights`` are those of a hand-written attention, of which the mask is not known; ``scale`` None is 1/√d.
    ``layer`` is a parameter of the layer that feeds the queries. ``edges`` are where queries and keys leave the graph
    for the attention, each a node and the number of its output.
    """

    layer: Parameter | None
    query: Tensor | None
    key: Tensor | None
    scale: float | Tensor | None = None
    mask: Tensor | None = None
    causal: bool = False
    weights: Tensor | None = None
    edges: tuple[Edge, Edge] | None = None


def find_attentions(nodes: list[Node]) -> Iterator[Attention]:
    """The attentions among the nodes of a graph, in order of execution."""
    names = {node: node.name() for node in nodes}
    feeding: set[Node] = set()  # softmaxes whose result goes into a matrix product
    for node in nodes:
        product = node if names[node] == "BmmBackward0" else _summed(node)
        if product is not None:
            for child, _ in product.next_functions:
                source = _single(child)
                if source is not None:
                    feeding.add(source)
    for node in nodes:
        if names[node].startswith(_FUSED):
            yield _fused(node)
        elif node in feeding:
            found = _written(node)
            if found is not None:
                yield found


def _fused(node: Node) -> Attention:
    scale = _plain(node, "scale")
    mask = saved(node, "attn_mask", "attn_bias")
    query, key = saved(node, "query"), saved(node, "key")
    causal = bool(_plain(node, "is_causal") or False)
    edges = node.next_functions[0], node.next_functions[1]
    return Attention(feeder(edges[0][0]), query, key, scale, mask, causal, edges=edges)


def _single(node: Node | None) -> Node | None:
    """The softmax behind ``node``, if nothing but dropout and reshaping lies between."""
    for _ in range(_FAR):
        if node is None or node.name() in _SOFTMAX:
            return node
        if node.name() not in _TO_VALUES:
            return None
        below = [child for child, _ in node.next_functions if child is not None]
        node = below[0] if len(below) == 1 else None
    return None


def _summed(node: Node) -> Node | None:
    """The product element by element that ``node`` sums over a dimension."""
    below = node.next_functions[0][0] if node.name() == "SumBackward1" else None
    return below if below is not None and below.name() == "MulBackward0" else None


def _written(softmax: Node) -> Attention | None:
    """The attention of a softmax over the last dimension, if a product of two batches of matrices made its input, or
    a layer that gives each key one score (of what a layer gives several, it is a router's choice)."""
    weights = saved(softmax, "result")
    dim = _plain(softmax, "dim")
    if weights is None or dim is None or weights.dim() < 2 or dim % 2**64 not in (2**64 - 1, weights.dim() - 1):
        return None
    source = softmax.next_functions[0][0]
    path = _to_product(source)
    if path is None:
        scored = _one_score(source)
        return None if scored is None else Attention(feeder(scored), None, None, weights=weights)
    *between, product = path
    scale: float | Tensor = float(_plain(product, "alpha") or 1.0)  # of torch.baddbmm
    known = True
    for node in between:
        kind = node.name()
        if kind.startswith(("Mul", "Div")):
            factor = saved(node, "other")
            if factor is None or factor.numel() != 1:
                known = False  # a factor for each head, or one that nobody kept
                break
            scale = scale * factor if kind.startswith("Mul") else scale / factor
    query, key = saved(product, "self", "batch1"), saved(product, "mat2", "batch2", "other")
    from_query, from_key = product.next_functions[-2:]
    if product.name() == "MulBackward0":
        if query is None or key is None or query.dim() != key.dim() or query.dim() < 3:
            return None
        if key.shape[-2] == 1 < query.shape[-2]:
            query, key, from_query, from_key = key, query, from_key, from_query
        if query.shape[-2] != 1:
            return None  # each key by a query of its own
        query, key = query.expand(*key.shape[:-2], 1, -1), key.transpose(-2, -1)
    if not known:
        query = key = None
    key = None if key is None else key.transpose(-2, -1)
    if query is not None and key is not None and key.shape[-2] == 1 < query.shape[-2] == weights.shape[-1]:
        # keys times one query: the softmax is over what stands on the left
        query, key, from_query = key, query, from_key
    return Attention(feeder(from_query[0]), query, key, scale, weights=weights, edges=(from_query, from_key))


def _to_product(node: Node | None) -> list[Node] | None:
    """The nodes from below a softmax to the batched matrix product that made its input, that one last."""
    stack: list[tuple[Node | None, list[Node]]] = [(node, [])]
    while stack:
        node, path = stack.pop()
        if node is None or len(path) > _FAR:
            continue
        kind = node.name()
        if kind in ("BmmBackward0", "BaddbmmBackward0"):
            return [*path, node]
        if (summed := _summed(node)) is not None and _over_last(node):
            return [*path, summed]
        if kind in _TO_LOGITS:
            stack += [(child, [*path, node]) for child, _ in node.next_functions]
    return None


def _one_score(node: Node | None) -> Node | None:
    """The layer that gave one number a key, if nothing but a shape, a mask and a factor lies behind it."""
    for _ in range(_FAR):
        if node is None or node.name() == "MvBackward0":
            return node
        if node.name() in ("AddmmBackward0", "MmBackward0"):
            return node if node._input_metadata[0].shape[-1] == 1 else None
        below = [child for child, _ in node.next_functions if child is not None]
        node = below[0] if node.name() in _TO_LOGITS and len(below) == 1 else None
    return None


def _over_last(total: Node) -> bool:
    dims, size = _plain(total, "dim"), len(total._saved_self_sym_sizes)
    return dims is not None and [d % 2**64 in (2**64 - 1, size - 1) for d in dims] == [True]


def feeder(node: Node | None) -> Parameter | None:
    """A parameter of the newest layer whose output flows into ``node``."""
    return next((fed.parameter for fed in _nearest(node)), None)


@dataclass(frozen=True, slots=True)
class Feed:
    """A parameter, the node of the layer that uses it, and the node by which it comes there."""

    parameter: Parameter
    layer: Node
    by: Node


def feeding_layer(node: Node | None) -> list[Feed]:
    """The parameters of the newest layer whose output flows into ``node``; with a bias that is added by a node of its
    own, the weight too."""
    found = _nearest(node)
    while found and found[-1].layer.name().startswith("Add"):
        rest = [child for child, _ in found[-1].layer.next_functions if child is not found[-1].by]
        more = _nearest(rest[0]) if len(rest) == 1 else []
        if not more:
            break
        found += more
    return found


def _nearest(node: Node | None) -> list[Feed]:
    if node is None:
        return []
    heap = [(-node._sequence_nr(), 0, node)]
    seen = {node}
    for number in range(1, 8 * _FAR):
        if not heap:
            return []
        node = heapq.heappop(heap)[2]
        own = [Feed(leaf, node, child) for child, _ in node.next_functions
               if isinstance(leaf := _leaf(child), Parameter) and leaf.dim() > 0]  # fmt: skip
        if own:
            return own
        for at, (child, _) in enumerate(node.next_functions):
            if child is not None and child not in seen and child.name() != ACCUMULATE:
                seen.add(child)
                heapq.heappush(heap, (-child._sequence_nr(), number * 8 + at, child))
    return []


def _leaf(node: Node | None) -> Tensor | None:
    """The leaf behind ``node`` if at most a transpose, a cast or a reshape lies between."""
    for _ in range(4):
        if node is None:
            return None
        if node.name() == ACCUMULATE:
            return node.variable
        below = node.next_functions
        if node.name() not in ("TBackward0", "ToCopyBackward0", "TransposeBackward0", "ViewBackward0",
                               "PermuteBackward0", "UnsqueezeBackward0", "ExpandBackward0", "ReshapeAliasBackward0",
                               "SliceBackward0", "SplitBackward0") or len(below) != 1:  # fmt: skip
            return None
        node = below[0][0]
    return None


def _plain(node: Node, name: str) -> Any:
    return getattr(node, f"_saved_{name}", None)
