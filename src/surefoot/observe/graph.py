"""Read the autograd graph of a loss just before the script's own backward: what computed it, and from what.

Nothing is computed on the graph and nothing is put on it: nodes are followed through ``next_functions`` and the tensors
they saved are read. So this serves module and functional activations alike, also in scripts that have no ``nn.Module``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

Node = Any  # torch.autograd.graph.Node; its saved tensors are attributes that no type stub knows

ACCUMULATE = "torch::autograd::AccumulateGrad"

# Ops between a parameter and the op that uses it, e.g. the transpose of a weight or its cast under autocast.
WEIGHT_PLUMBING = frozenset(
    [
        "TBackward0",
        "PermuteBackward0",
        "TransposeBackward0",
        "ViewBackward0",
        "ReshapeAliasBackward0",
        "ToCopyBackward0",
        "UnsqueezeBackward0",
        "ExpandBackward0",
        "SelectBackward0",
        "SliceBackward0",
        "SplitBackward0",
        "UnsafeViewBackward0",
    ]
)
# Ops between a layer's output and the loss function that do not change its numbers.
_SHAPE_ONLY = frozenset(
    [
        "ViewBackward0",
        "ReshapeAliasBackward0",
        "UnsafeViewBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "UnsqueezeBackward0",
        "TransposeBackward0",
        "PermuteBackward0",
        "TBackward0",
        "ToCopyBackward0",
        "SliceBackward0",
        "SelectBackward0",
        "IndexBackward0",
        "CloneBackward0",
        "AliasBackward0",
        "FlattenBackward0",
        "ExpandBackward0",
    ]
)
# Activation ops that save their output, and the name under which a signal knows them.
ACTIVATIONS = {
    "ReluBackward0": "relu",
    "TanhBackward0": "tanh",
    "SigmoidBackward0": "sigmoid",
}
# Loss ops: the name of the function in torch.nn.functional that builds them.
LOSSES = {
    "NllLossBackward0": "nll_loss",
    "NllLoss2DBackward0": "nll_loss",
    "BinaryCrossEntropyBackward0": "binary_cross_entropy",
    "BinaryCrossEntropyWithLogitsBackward0": "binary_cross_entropy_with_logits",
    "MseLossBackward0": "mse_loss",
    "SmoothL1LossBackward0": "smooth_l1_loss",
    "HuberLossBackward0": "huber_loss",
}
_AVERAGES = _SHAPE_ONLY | {"NegBackward0", "MeanBackward0", "MeanBackward1", "SumBackward0", "SumBackward1"}
_SQUASHING = {"SoftmaxBackward0": 1, "LogSoftmaxBackward0": 2, "SigmoidBackward0": 3}


@dataclass(slots=True)
class Site:
    """One activation in the graph: what kind, which leaf feeds it, and the node that saved its output."""

    kind: str
    producer: Tensor
    node: Node
    hidden: bool  # a layer with parameters comes after it, so it is not the model's output
    gate: bool  # it is multiplied with something: saturation is its job


@dataclass(slots=True)
class LossSite:
    """The loss function in the graph: its name, its node, and the node that made its input.

    ``chosen`` takes one log-probability a row (a gather or an index), where the loss is minus the mean or sum of those.
    """

    name: str
    node: Node
    input_node: Node | None
    squashed_by: int  # 0 nothing, 1 softmax, 2 log-softmax, 3 sigmoid in front of the loss function
    chosen: Node | None = None


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


def saved(node: Node, *names: str) -> Tensor | None:
    """The first of the saved tensors that can be read, detached; None where it was freed or changed in place."""
    for name in names:
        try:
            tensor = getattr(node, f"_saved_{name}")
        except (AttributeError, RuntimeError):
            continue
        if isinstance(tensor, Tensor) and has_memory(tensor):
            return tensor.detach()
    return None


def has_memory(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor are there to be read.

    FSDP frees the memory of the weights that it gathered as soon as a layer's forward is over; the graph still holds
    the tensors, and to read one would end the process.
    """
    try:
        present = tensor.untyped_storage().nbytes()
    except (RuntimeError, NotImplementedError):  # sparse and wrapped tensors look after their memory themselves
        return True
    if tensor.numel() == 0:
        return True
    last = tensor.storage_offset() + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size() <= present


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
        # the newest layer upstream: with a residual sum, the branch that was computed last
        upstream = [child for child in children.get(node, ()) if child in producer]
        if upstream:
            producer[node] = producer[max(upstream, key=lambda child: child._sequence_nr())]
    view.leaves = list(leaves.values())

    covered: set[Node] = set()  # some layer with parameters comes after
    gated: set[Node] = set()
    for node in reversed(nodes):
        after = node in covered or (bool(direct[node]) and names[node] not in WEIGHT_PLUMBING)
        multiplies = names[node] == "MulBackward0"
        for child in children.get(node, ()):
            if after:
                covered.add(child)
            if multiplies:
                gated.add(child)
        kind = ACTIVATIONS.get(names[node])
        if kind is not None and node in producer:
            view.sites.append(Site(kind, producer[node], node, node in covered, node in gated))
    view.sites.reverse()
    view.loss = _find_loss(nodes, names, children)
    return view


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


def _find_loss(nodes: list[Node], names: dict[Node, str], children: dict[Node, list[Node]]) -> LossSite | None:
    """The loss function nearest to the end of the graph."""
    for node in reversed(nodes):
        name = LOSSES.get(names[node])
        if name is None:
            continue
        source, squashed = _through_shapes(children.get(node, []), names, children)
        if name == "nll_loss" and source is not None and names[source] == "LogSoftmaxBackward0":
            # F.cross_entropy is log_softmax then nll_loss; a script that writes the two itself means the same
            before, squashed = _through_shapes(children.get(source, []), names, children)
            return LossSite("cross_entropy", node, before, squashed)
        return LossSite(name, node, source, squashed)
    for node in reversed(nodes):  # soft targets, KL and hand-written likelihoods end in a log-softmax all the same
        if names[node] == "LogSoftmaxBackward0":
            before = _through_shapes(children.get(node, []), names, children)
            return LossSite("log_softmax", node, *before, _chosen_of(node, nodes[-1], names, children))
    return None


def _chosen_of(log_softmax: Node, root: Node, names: dict[Node, str], children: dict[Node, list[Node]]) -> Node | None:
    """The choice between a log-softmax and the end of the graph, with nothing but averages around it."""
    node: Node | None = root
    while node is not None and not _chooses(node, names) and names.get(node) in _AVERAGES:
        below = children.get(node, [])
        node = below[0] if len(below) == 1 else None
    if node is None or not _chooses(node, names):
        return None
    return node if _through_shapes(children.get(node, []), names, children)[0] is log_softmax else None


def _chooses(node: Node, names: dict[Node, str]) -> bool:
    """``log_probs.gather(1, targets[:, None])`` or ``log_probs[rows, targets]``."""
    return names.get(node) == "GatherBackward0" or (names.get(node) == "IndexBackward0" and len(_indices(node)) == 2)


def _indices(node: Node) -> list[Tensor]:
    """What an index took, where it took something of each dimension; empty where that was freed or changed in place."""
    try:
        indices = list(node._saved_indices)
    except RuntimeError:
        return []
    return [] if any(index is None for index in indices) else [index.detach() for index in indices]


def chosen_classes(loss: LossSite) -> Tensor | None:
    """The class that a hand-written cross-entropy takes of each row; None where there is none, or not one a row."""
    if loss.chosen is None:
        return None
    if loss.chosen.name() == "IndexBackward0":
        classes = _indices(loss.chosen)[-1:]
        return classes[0] if classes and classes[0].dim() == 1 and classes[0].dtype == torch.int64 else None
    index = saved(loss.chosen, "index")
    return None if index is None or index.shape[-1] != 1 else index.reshape(-1)


def soft_targets(loss: LossSite, view: GraphView) -> Tensor | None:
    """What the log-probabilities are weighted with where targets are probabilities; None where they are not."""
    for node in view.nodes if loss.name == "log_softmax" else ():
        below = [child for child, _ in node.next_functions if child is not None]
        if node.name() == "MulBackward0" and len(below) == 1 and below[0] is loss.node:
            weights, made = saved(node, "other", "self"), saved(loss.node, "result")
            same = weights is not None and made is not None and weights.shape == made.shape
            return weights if same else None
    return None


def shape_source(node: Node | None) -> Node | None:
    """The node that made the numbers of a tensor: its own, or what is behind ops that only reshape."""
    while node is not None and node.name() in _SHAPE_ONLY:
        node = next((child for child, _ in node.next_functions), None)
    return node


def _through_shapes(
    below: list[Node], names: dict[Node, str], children: dict[Node, list[Node]]
) -> tuple[Node | None, int]:
    """Follow ops that only reshape; the node found and the kind of squashing it does."""
    node = below[0] if below else None
    while node is not None and names.get(node) in _SHAPE_ONLY:
        below = children.get(node, [])
        node = below[0] if below else None
    return node, _SQUASHING.get(names.get(node, ""), 0) if node is not None else 0
