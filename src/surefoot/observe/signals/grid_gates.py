"""Gates of a recurrence that a script wrote itself, in which a state is a gated sum of several earlier ones.

Seen in the graph: a sum of products, of which two at least are a sigmoid's result times an earlier such sum. Along one
chain of states gates of at most 1 let nothing grow; on a grid the paths between two states are many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.attention_sites import feeder
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.nodes import Node, saved

_SHAPES = ("View", "Split", "Slice", "Select", "Unbind", "Squeeze", "Unsqueeze", "Clone", "Alias", "Expand", "Permute")
_FAR = 4  # nodes between a sigmoid, or a state, and what it is multiplied by
_FEWEST = 4  # states that are sums of several others
_ROWS = 4  # of a batch


class GridGates(Instrument):
    """Reads the sum over paths of the products of such gates, from the first state on."""

    name = "gates of a grid"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: tuple[str, Tensor, int] | None = None

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Find the states and read their gates."""
        self._read = None
        if self.tools.scene.checkpointing or sum(n.name() == "SigmoidBackward0" for n in view.nodes) < _FEWEST:
            return
        states = dict(_states(view.nodes))
        if sum(len(parents) > 1 for parents in states.values()) < _FEWEST:
            return
        place = {node: number for number, node in enumerate(states)}
        cells = [[(gate, place.get(state, -1)) for state, gate in parents] for parents in states.values()]
        parameter = feeder(next(node for node, parents in states.items() if parents))
        owned = None if parameter is None else self.tools.scene.models.find(parameter)
        if owned is not None:
            from surefoot.analysis.gating import gain_over_paths

            with torch.no_grad():
                self._read = owned.layer.name, gain_over_paths(cells), len(cells)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write it as that of the layer that makes the gates."""
        if self._read is None:
            return
        (where, gain, cells), self._read = self._read, None
        names = self.tools.scene.layer_names()
        step, at = self.tools.scene.clock.steps, names.index(where)

        def write(found: list[np.ndarray]) -> None:
            values = {signal: np.full(len(names), np.nan) for signal in ("gating_gain", "gating_exponent")}
            values["gating_gain"][at] = float(found[0])
            values["gating_exponent"][at] = -math.log(max(float(found[0]), 1e-30)) / math.log(cells)
            self.tools.rows.put_layers(step, "gating", **values)

        self.tools.ask(step, [gain], write)


def _states(nodes: Sequence[Node]) -> Iterator[tuple[Node, list[tuple[Node, Tensor]]]]:
    """Each sum in order, with the earlier sums that it holds and their gates; sums without any as far as others hold
    them."""
    inner: set[Node] = set()  # sums that are a part of a sum
    found: dict[Node, list[tuple[Node, Tensor]]] = {}
    for node in nodes:
        if node.name() != "AddBackward0":
            continue
        below = [child for child, _ in node.next_functions if child is not None and child.name() == "AddBackward0"]
        parents = [pair for child in below if child in found for pair in found[child]]
        inner.update(child for child in below if child in found)
        for child, _ in node.next_functions:
            gated = None if child is None or child.name() != "MulBackward0" else _gated(child)
            if gated is not None:
                parents.append(gated)
        found[node] = parents
    held = {state for parents in found.values() for state, _ in parents}
    for node, parents in found.items():
        if (parents or node in held) and (node not in inner or node in held):
            yield node, parents


def _gated(product: Node) -> tuple[Node, Tensor] | None:
    """An earlier sum and the sigmoid's result that it is multiplied by."""
    edges = product.next_functions
    if len(edges) != 2:
        return None
    for gate, state, name in ((0, 1, "self"), (1, 0, "other")):
        source = _behind(edges[state][0])
        if source is None or source.name() != "AddBackward0" or not _of_a_sigmoid(edges[gate][0]):
            continue
        value = saved(product, name)
        if value is not None and value.dim() >= 2:
            return source, value[:_ROWS]
    return None


def _behind(node: Node | None) -> Node | None:
    for _ in range(_FAR):
        if node is None or not node.name().startswith(_SHAPES):
            return node
        below = [child for child, _ in node.next_functions if child is not None]
        node = below[0] if len(below) == 1 else None
    return node


def _of_a_sigmoid(node: Node | None) -> bool:
    source = _behind(node)
    return source is not None and source.name() == "SigmoidBackward0"
