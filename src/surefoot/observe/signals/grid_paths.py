"""The sum over paths of products of gates, in a recurrence that a script wrote itself, read off its graph.

Ones are sent back from the newest state, through sums, through products with a gate, and through what moves states
about, by autograd's own nodes. What arrives at an earlier state is the sum over all paths from there. So it serves
states that are tensors of their own, and those that are held side by side, a whole front (a diagonal, a row) in one
tensor: which of them comes from which, only slices and concatenations know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from surefoot.observe.nodes import Node

_SHAPES = (
    "View", "Split", "Slice", "Select", "Unbind", "Squeeze", "Unsqueeze", "Clone", "Alias", "Expand", "Permute",
    "Transpose",
)  # fmt: skip
_MOVES = (*_SHAPES, "Cat", "Stack", "Roll", "ConstantPad")  # also beside others, or to where others were
_FAR = 6  # nodes between a sigmoid, or a state, and what it is multiplied by: a mask, slices, a pad


def gain_over_paths(nodes: Sequence[Node], fewest: int) -> tuple[Node, Tensor, int] | None:
    """The first state, the largest sum over paths that end in the newest (in the mean over a tensor of states), and how
    many tensors; None where fewer than ``fewest`` take from earlier ones by two gates."""
    states = [node for node in nodes if node.name() == "AddBackward0" and sum(map(bool, map(_taken, _below(node)))) > 1]
    shape = getattr(states[-1], "_input_metadata", None) if len(states) >= fewest else None
    if not shape:
        return None
    with torch.no_grad():
        ones = torch.ones(tuple(shape[0].shape), device=shape[0].device)
        means = [part.mean() for part in _sent_back(nodes, states[-1], ones)]
    return states[0], torch.stack(means).amax(), len(states)


def _sent_back(nodes: Sequence[Node], newest: Node, ones: Tensor) -> list[Tensor]:
    """What arrives at each sum."""
    arrived: dict[Node, dict[int, Tensor]] = {newest: {0: ones}}
    sums = []
    for node in reversed(nodes):
        parts = arrived.pop(node, None)
        if parts is None:
            continue
        kept = _ways(node)
        if node.name() == "AddBackward0":
            sums.append(parts[0])
        if not any(kept):
            continue
        outputs = len(node._input_metadata)
        passed = node(*(parts.get(number) for number in range(outputs)))
        passed = passed if isinstance(passed, tuple) else (passed,)
        for (child, number), part, goes in zip(node.next_functions, passed, kept, strict=True):
            if goes and part is not None:
                there = arrived.setdefault(child, {})
                there[number] = there[number] + part if number in there else part
    return sums


def _ways(node: Node) -> list[bool]:
    """Which children it goes on to."""
    if node.name() == "AddBackward0":
        return [child is not None and (child.name() == "AddBackward0" or _taken(child) > 0) for child in _below(node)]
    if node.name() == "MulBackward0" and not _masks(node):
        state = _taken(node) - 1
        return [number == state for number in range(len(node.next_functions))]
    moves = node.name().startswith(_MOVES) or _masks(node)
    return [moves and child is not None for child in _below(node)]


def _masks(node: Node) -> bool:
    """A product with what takes no gradient: of a front of states those that are inside the grid."""
    return node.name() == "MulBackward0" and sum(child is not None for child in _below(node)) == 1


def _below(node: Node) -> list[Node]:
    return [child for child, _ in node.next_functions]


def _taken(product: Node) -> int:
    """Which operand (1 or 2) is made of an earlier sum, where the other is a sigmoid's result; 0 where none is."""
    if product is None or product.name() != "MulBackward0" or len(product.next_functions) != 2:
        return 0
    first, second = _below(product)
    for number, gate, state in ((2, first, second), (1, second, first)):
        if _leads_to(gate, "SigmoidBackward0", _SHAPES) and _leads_to(state, "AddBackward0", _MOVES, _masks):
            return number
    return 0


def _leads_to(node: Node, name: str, through: tuple[str, ...], also: Callable[[Node], bool] | None = None) -> bool:
    level = [node]
    for _ in range(_FAR):
        level = [n for n in level if n is not None]
        if any(n.name() == name for n in level):
            return True
        passed = [n for n in level if n.name().startswith(through) or (also is not None and also(n))]
        level = [child for n in passed for child in _below(n)]
    return False
