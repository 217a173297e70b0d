"""Find the residual sums of a forward in its autograd graph: what is added to something that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from surefoot.observe.nodes import ACCUMULATE, Node


@dataclass(frozen=True, slots=True)
class Branch:
    """One residual sum, x + f(x): the node that gives f(x), and all nodes between x and it.

    ``certain`` is False where x has no node, as the model's own input: then anything may have been added.
    """

    end: Node
    nodes: frozenset[Node]
    certain: bool


def find_branches(nodes: list[Node]) -> Iterator[Branch]:
    """The residual branches among the nodes of a graph, in order of execution.

    A sum is residual if the older of its two terms flows into the newer one.
    """
    for node in nodes:
        if node.name() not in ("AddBackward0", "AddBackward1"):
            continue
        terms = [child for child, _ in node.next_functions]
        if len(terms) != 2 or terms[0] is terms[1] or any(_is_leaf(term) for term in terms):
            continue
        older, newer = sorted(terms, key=lambda term: -1 if term is None else term._sequence_nr())
        if newer is None:
            continue
        between = _between(older, newer)
        if between is not None:
            yield Branch(newer, between, certain=older is not None)


def _between(older: Node | None, newer: Node) -> frozenset[Node] | None:
    """The nodes that were made after ``older`` and flow into ``newer``; None if ``older`` does not."""
    first = -1 if older is None else older._sequence_nr()
    seen, stack, met = {newer}, [newer], older is None
    while stack:
        for child, _ in stack.pop().next_functions:
            if child is None or child in seen or _is_leaf(child):
                continue
            if child is older:
                met = True
            elif child._sequence_nr() > first:
                seen.add(child)
                stack.append(child)
    return frozenset(seen) if met else None


def _is_leaf(node: Node | None) -> bool:
    return node is not None and node.name() == ACCUMULATE
