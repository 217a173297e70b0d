"""Loops over time that a script writes itself, with weights that are used again and again: found in the loss's graph.

A cell that is a module tells of its calls by a hook. A weight that is a bare parameter does not; in the graph it is the
leaf behind many operations, and what makes it a recurrence is that each of them works on what came of the one before.
"""

from __future__ import annotations

from torch import Tensor

from surefoot.observe.graph import GraphView
from surefoot.observe.nodes import ACCUMULATE, WEIGHT_PLUMBING, Node

_FAR = 6  # operations between a weight and its use: an ``einsum`` transposes, unsqueezes, reshapes


def loops(view: GraphView, shortest: int, longest: int) -> list[tuple[Tensor, list[Node]]]:
    """Leaves that the forward used ``shortest`` times or more, each time on what came of the time before, and the
    nodes of those uses in order of time, ``longest`` at most (the last ones)."""
    uses: dict[int, tuple[Tensor, list[Node]]] = {}
    for node in view.nodes:
        if node.name() in WEIGHT_PLUMBING:
            continue
        for child, _ in node.next_functions:
            leaf = _leaf_behind(child)
            if leaf is not None and leaf.dim():  # one number scales, and turns nothing
                uses.setdefault(id(leaf), (leaf, []))[1].append(node)
    many = [(leaf, nodes[-longest:]) for leaf, nodes in uses.values() if len(nodes) >= shortest]
    return [(leaf, nodes) for leaf, nodes in many if _chained(view, nodes)]


def _leaf_behind(node: Node | None) -> Tensor | None:
    """The leaf that a node brings, if nothing is computed on the way."""
    for _ in range(_FAR):
        if node is None or node.name() == ACCUMULATE:
            return None if node is None else node.variable
        if node.name() not in WEIGHT_PLUMBING or len(node.next_functions) != 1:
            return None
        node = node.next_functions[0][0]
    return None


def _chained(view: GraphView, uses: list[Node]) -> bool:
    """Whether most of the uses have the one before among what they were computed from."""
    number_of = {node: number for number, node in enumerate(uses)}
    newest: dict[Node, int] = {}  # of each node: the last use that it was computed from, or is
    chained = 0
    for node in view.nodes:
        before = max((newest.get(child, -1) for child, _ in node.next_functions), default=-1)
        number = number_of.get(node, before)
        chained += number == before + 1 and before >= 0
        newest[node] = number
    return 2 * chained > len(uses)
