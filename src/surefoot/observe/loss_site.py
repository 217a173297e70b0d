"""The loss function in an autograd graph: which it is, what went into it, and which classes it took.

It is found by the nodes that it left, so that a loss which a script writes itself is known as well as torch's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surefoot.observe.nodes import Node, saved
from surefoot.observe.squashing import SHAPE_ONLY, squashed, twice

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
_AVERAGES = SHAPE_ONLY | {"NegBackward0", "MeanBackward0", "MeanBackward1", "SumBackward0", "SumBackward1"}
_SUM = 2  # at::Reduction::Sum
_MISREAD = {
    "cross_entropy": (1, 3),
    "nll_loss": (1, 3, 4),
    "binary_cross_entropy": (4, 5),
    "binary_cross_entropy_with_logits": (1, 3),
}


@dataclass(slots=True)
class LossSite:
    """The loss function in the graph: its name, its node, and the node that made its input.

    ``summed``: it is the end of the graph, and the sum over all elements of its input, not their mean.
    ``chosen`` takes one log-probability a row (a gather or an index), where the loss is minus the mean or sum of those.
    ``given`` are predictions and targets of a loss that the script writes itself, whose node has not kept them, and
    ``scale`` is how many times the mean over them it is.
    """

    name: str
    node: Node
    input_node: Node | None
    squashed_by: int  # 0 nothing, 1 softmax, 2 log-softmax, 3 sigmoid in front of it; 4, 5 a softmax, sigmoid of one
    chosen: Node | None = None
    summed: bool = False
    given: tuple[Tensor, Tensor] | None = None
    scale: Tensor | None = None

    @property
    def sides(self) -> tuple[Tensor | None, Tensor | None]:
        """What went into it, and what that was compared with; None for what the graph has not kept."""
        return (saved(self.node, "self"), saved(self.node, "target")) if self.given is None else self.given


def find_loss(nodes: list[Node], names: dict[Node, str], children: dict[Node, list[Node]]) -> LossSite | None:
    """The loss function nearest to the end of the graph; of several, the nearest that reads probabilities as logits."""
    found = [_site(node, nodes[-1], names, children) for node in reversed(nodes) if names[node] in LOSSES]
    misread = next((site for site in found if site.squashed_by in _MISREAD.get(site.name, ())), None)
    if misread is None and (again := twice(nodes, names, children)) is not None:
        name, node, kind = again
        return LossSite(name, node, None, kind)
    if found:
        return misread or found[0]
    for node in reversed(nodes):  # soft targets, KL and hand-written likelihoods end in a log-softmax all the same
        if names[node] == "LogSoftmaxBackward0":
            before = _through_shapes(children.get(node, []), names, children)
            return LossSite("log_softmax", node, *before, _chosen_of(node, nodes[-1], names, children))
    return _log_partition(nodes, names, children)


def _site(node: Node, root: Node, names: dict[Node, str], children: dict[Node, list[Node]]) -> LossSite:
    name = LOSSES[names[node]]
    source, squashed = _through_shapes(children.get(node, []), names, children)
    if name == "nll_loss" and source is not None and names[source] == "LogSoftmaxBackward0":
        # F.cross_entropy is log_softmax then nll_loss; a script that writes the two itself means the same
        name = "cross_entropy"
        source, squashed = _through_shapes(children.get(source, []), names, children)
    return LossSite(name, node, source, squashed, summed=_summed(node, root))


def _log_partition(nodes: list[Node], names: dict[Node, str], children: dict[Node, list[Node]]) -> LossSite | None:
    """log Z less the right class's logit, as a cross-entropy is written where log Z is used once more: both are of one
    tensor, which tells it from a mixture's likelihood or a soft maximum."""
    taken = {}  # what something was chosen of → the choice
    for node in nodes:
        source = _through_shapes(children.get(node, []), names, children)[0] if _chooses(node, names) else None
        if source is not None:
            taken[source] = node
    for node in reversed(nodes) if taken else ():
        if names[node] == "LogsumexpBackward0":
            before = _through_shapes(children.get(node, []), names, children)
            if before[0] in taken:
                return LossSite("logsumexp", node, *before, taken[before[0]])
    return None


def _summed(node: Node, root: Node) -> bool:
    """Whether what is differentiated is the loss function's own sum: what a script makes of it is not known."""
    return node is root and getattr(node, "_saved_reduction", None) == _SUM


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


def soft_targets(loss: LossSite, nodes: Sequence[Node]) -> Tensor | None:
    """What the log-probabilities are weighted with where targets are probabilities; None where they are not. ``nodes``:
    of the graph that the loss is in."""
    for node in nodes if loss.name == "log_softmax" else ():
        below = [child for child, _ in node.next_functions if child is not None]
        if node.name() == "MulBackward0" and len(below) == 1 and below[0] is loss.node:
            weights, made = saved(node, "other", "self"), saved(loss.node, "result")
            same = weights is not None and made is not None and weights.shape == made.shape
            return weights if same else None
    return None


def shape_source(node: Node | None, through: frozenset[str] = SHAPE_ONLY) -> Node | None:
    """The node that made the numbers of a tensor: its own, or what is behind ops that only reshape (or ``through``)."""
    while node is not None and node.name() in through:
        node = next((child for child, _ in node.next_functions), None)
    return node


def rows_taken(loss: LossSite, rows: int) -> Tensor | None:
    """Places of the rows that the loss is of, where an index took them from an output of so many; None where nothing
    did, or they can't be read (those of a mask on a device would have to be waited for)."""
    node: Node | None = loss.node
    while node is not None:
        node = node.next_functions[0][0] if node.next_functions else None
        if node is None or node.name() not in SHAPE_ONLY | {"LogSoftmaxBackward0"}:
            return None
        if node.name() == "IndexBackward0":
            indices = _indices(node)
            if len(indices) != 1 or indices[0].dim() != 1 or node._saved_self_sym_sizes[0] != rows:
                return None
            mask = indices[0].dtype == torch.bool
            return indices[0] if not mask else indices[0].nonzero().squeeze(1) if indices[0].is_cpu else None
    return None


def _through_shapes(
    below: list[Node], names: dict[Node, str], children: dict[Node, list[Node]]
) -> tuple[Node | None, int]:
    """Follow ops that only reshape; the node found and the kind of squashing it does."""
    node = below[0] if below else None
    while node is not None and names.get(node) in SHAPE_ONLY:
        below = children.get(node, [])
        node = below[0] if below else None
    return node, squashed(node, names, children)
