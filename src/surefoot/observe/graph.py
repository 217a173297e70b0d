"""Read the autograd graph of a loss just before the script's own backward: what computed it, and from what.

Nothing is computed on the graph and nothing is put on it: nodes are followed through ``next_functions`` and the tensors
they saved are read. So this serves module and functional activations alike, also in scripts that have no ``nn.Module``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import Parameter

from surefoot.observe.clamps import clamp_kind
from surefoot.observe.loss_site import LossSite, find_loss
from surefoot.observe.nodes import ACCUMULATE, WEIGHT_PLUMBING, Node, saved

# Activation ops that save their output, and the name under which a signal knows them.
ACTIVATIONS = {
    "ReluBackward0": "relu",
    "TanhBackward0": "tanh",
    "SigmoidBackward0": "sigmoid",
}
# What is measured between rows or of a row is a number of its own, and no output of the layer that made them.
_MEASURES = frozenset({
    "CdistBackward0", "EuclideanDistBackward0", "LinalgVectorNormBackward0", "NormBackward0", "NormBackward1",
})  # fmt: skip


@dataclass(slots=True)
class Site:
    """One activation in the graph: what kind, which leaf feeds it, and the node that saved its output."""

    kind: str
    producer: Tensor
    node: Node
    hidden: bool  # a layer with parameters comes after it, so it is not the model's output
    gate: bool  # it is multiplied with something: saturation is its job


@dataclass(slots=True)
class GraphView:
    """What was read: leaf parameters in the order of their first use, activations, the loss function."""

    leaves: list[Tensor] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    loss: LossSite | None = None
    nodes: list[Node] = field(default_factory=list)  # in order of execution in the forward
    complete: bool = True  # False where the graph was larger than `limit`
    by_hand: frozenset[int] = frozenset()  # ids of leaves that are trained though they are no parameters

    def trains(self, leaf: Tensor) -> bool:
        """Whether a leaf is trained, and not data or a coordinate that something is differentiated by."""
        return isinstance(leaf, Parameter) or id(leaf) in self.by_hand


def roots_of(tensors: object) -> list[Tensor]:
    """The tensors that a backward was asked to start from: one, or a sequence."""
    if isinstance(tensors, Tensor):
        return [tensors]
    return [t for t in tensors if isinstance(t, Tensor)] if isinstance(tensors, Iterable) else []


def read_graph(roots: Iterable[Tensor], limit: int = 20_000) -> GraphView:
    """Walk the graph behind ``roots``; stops after ``limit`` nodes.

    Nodes are ordered by the sequence number that autograd gave them in the forward. The view holds nodes, and nodes
    hold the graph: drop it before the script's backward returns.
    """
    view = GraphView()
    nodes: list[Node] = []
    children: dict[Node, list[Node]] = {}
    names: dict[Node, str] = {}
    stack: list[Node] = []
    for root in roots:
        if root.grad_fn is not None:
            stack.append(root.grad_fn)
        elif isinstance(root, Parameter):
            view.leaves.append(root)
    while stack:
        node = stack.pop()
        if node in children:
            continue
        if len(nodes) >= limit:
            view.complete = False
            break
        nodes.append(node)
        names[node] = node.name()
        below = [child for child, _ in node.next_functions if child is not None]
        children[node] = below
        stack.extend(below)

    nodes = [node for node in nodes if names[node] != ACCUMULATE]
    nodes.sort(key=lambda node: node._sequence_nr())
    view.nodes = nodes

    direct: dict[Node, list[Tensor]] = {}  # the parameters that a node itself uses
    leaves: dict[int, Tensor] = {id(leaf): leaf for leaf in view.leaves}
    producer: dict[Node, Tensor] = {}  # the parameter of the layer whose output flows through a node
    for node in nodes:
        own: list[Tensor] = []
        for child in children.get(node, ()):
            leaf = _leaf(child, names, children)
            if leaf is not None:
                own.append(leaf)
                leaves.setdefault(id(leaf), leaf)
        direct[node] = own
        if own and names[node] not in WEIGHT_PLUMBING:
            producer[node] = own[0]
            continue
        if names[node] in _MEASURES:
            continue
        # the newest layer upstream: with a residual sum, the branch that was computed last
        upstream = [child for child in children.get(node, ()) if child in producer]
        if upstream:
            producer[node] = producer[max(upstream, key=lambda child: child._sequence_nr())]
    view.leaves = list(leaves.values())

    covered: set[Node] = set()  # some layer with parameters comes after
    gated: set[Node] = set()
    for node in reversed(nodes):
        after = node in covered or (bool(direct[node]) and names[node] not in WEIGHT_PLUMBING)
        # with one number it makes no gate of what it multiplies, as in 2σ(z) − 1, unless that is one
        multiplies = node in gated if _shifts(node, names[node]) else names[node] == "MulBackward0"
        for child in children.get(node, ()):
            if after:
                covered.add(child)
            if multiplies:
                gated.add(child)
        kind = ACTIVATIONS.get(names[node])
        if kind is None and node in covered and not direct[node]:  # else it bounds weights, or answers
            kind = clamp_kind(node, names[node])
        if kind is not None and node in producer and _of_units(node, producer[node]):
            view.sites.append(Site(kind, producer[node], node, node in covered, node in gated))
    view.sites.reverse()
    view.loss = find_loss(nodes, names, children)
    return view


def _shifts(node: Node, name: str) -> bool:
    """A product with one number, or a sum with something that takes no gradient."""
    if name not in ("MulBackward0", "AddBackward0", "SubBackward0", "RsubBackward1"):
        return False
    if sum(child is not None for child, _ in node.next_functions) != 1:
        return False
    factor = saved(node, "other", "self") if name == "MulBackward0" else None
    return factor is None or factor.numel() == 1


def _of_units(node: Node, leaf: Tensor) -> bool:
    """A row for each sample: what is one number each, is so of a layer of one unit only; else it was picked out of what
    layers made, as violations of a margin are."""
    result = saved(node, "result", "self")
    return result is None or result.dim() != 1 or 1 in leaf.shape


def _leaf(node: Node, names: dict[Node, str], children: dict[Node, list[Node]]) -> Tensor | None:
    """The leaf tensor behind ``node`` if only plumbing lies between."""
    for _ in range(4):
        name = names.get(node)
        if name == ACCUMULATE:
            return node.variable
        below = children.get(node, [])
        if name not in WEIGHT_PLUMBING or len(below) != 1:
            return None
        node = below[0]
    return None
