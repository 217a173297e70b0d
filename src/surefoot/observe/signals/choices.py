"""Choices by a softmax that is no attention and no answer: gates of a mixture, selectors, soft decisions.

Whatever a softmax's result multiplies, it is a choice among as many things, and all that is learned of the choice comes
through the softmax's slope. Where a row is rounded to one and zeros, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.softmax import certain, entropy_of_choice
from surefoot.observe.attention_sites import feeder, find_attentions
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.nodes import Node, saved

_PRODUCTS = frozenset(("MulBackward0", "MmBackward0", "BmmBackward0", "AddmmBackward0", "MvBackward0", "DotBackward0"))
_SOFTMAXES = frozenset(("SoftmaxBackward0", "LogSoftmaxBackward0"))
_LOGARITHMS = frozenset(("LogBackward0", "LogSoftmaxBackward0", "LogsumexpBackward0"))
_FAR = 6  # nodes between a softmax and what it multiplies
_SITES = 32  # choices read in one look
_MOST = 1 << 16  # numbers of one choice


class Choices(Instrument):
    """Reads how undecided each choice is, and in which share of its rows it is rounded to certainty."""

    name = "choices"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: list[tuple[str, Tensor, Tensor]] = []

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Find and read the choices."""
        self._read = []
        if self.tools.scene.checkpointing or not any(node.name() in _SOFTMAXES for node in view.nodes):
            return
        attended = {a.weights.data_ptr() for a in find_attentions(view.nodes) if a.weights is not None}
        with torch.no_grad():
            for node, result in _choices(view.nodes):
                if result.data_ptr() in attended or len(self._read) == _SITES:
                    continue
                parameter = feeder(node)
                owned = None if parameter is None else self.tools.scene.models.find(parameter)
                rows = result.movedim(_dim(node), -1)
                rows = rows.reshape(-1, rows.shape[-1])[: max(1, _MOST // rows.shape[-1])]
                name = "choice" if owned is None else owned.layer.name
                self._read.append((name, entropy_of_choice(rows), certain(rows).float().mean()))

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write the means of each layer's choices."""
        read, self._read = self._read, []
        if not read:
            return
        step, rows = self.tools.scene.clock.steps, self.tools.rows
        names = [name for name, *_ in read]

        def write(found: list[np.ndarray]) -> None:
            values = np.array(found, dtype=np.float64).reshape(len(names), 2)
            for name in dict.fromkeys(names):
                entropy, certain = values[[other == name for other in names]].mean(0)
                rows.put(step, self.name, name, choice_entropy=float(entropy), choice_certain_share=float(certain))

        self.tools.ask(step, [value for _, *values in read for value in values], write)


def _choices(nodes: Sequence[Node]) -> list[tuple[Node, Tensor]]:
    """Softmaxes over two things or more whose result multiplies something that is not their own logarithm; be it that
    the exponential is taken of a log-softmax."""
    found = []
    used: dict[Node, list[Node]] = {}
    for node in nodes:
        for child, _ in node.next_functions:
            if child is not None:
                used.setdefault(child, []).append(node)
    for node in nodes:
        if node.name() not in _SOFTMAXES:
            continue
        direct = node.name() == "SoftmaxBackward0"
        exponentials = [] if direct else [user for user in used.get(node, ()) if user.name() == "ExpBackward0"]
        for made in [node] if direct else exponentials:
            result = saved(made, "result")
            if result is None or not result.dim() or not result.numel() or result.shape[_dim(node)] < 2:
                continue
            if _weighs(made, used):
                found.append((node, result))
                break
    return found


def _dim(softmax: Node) -> int:
    """The dimension that it sums over, which autograd keeps as an unsigned number."""
    dim = int(softmax._saved_dim)
    return dim - 2**64 if dim >= 2**63 else dim


def _weighs(softmax: Node, used: dict[Node, list[Node]]) -> bool:
    source = softmax.next_functions[0][0]
    front: list[tuple[Any, Any]] = [(user, softmax) for user in used.get(softmax, ())]
    for _ in range(_FAR):
        further: list[tuple[Any, Any]] = []
        for node, by in front:
            if node.name() in _PRODUCTS:
                others = [child for child, _ in node.next_functions if child is not None and child is not by]
                if not any(_is_its_logarithm(other, source) for other in others):
                    return True
            else:
                further += [(user, node) for user in used.get(node, ())]
        front = further[:64]
    return False


def _is_its_logarithm(node: Node, source: Node) -> bool:
    """Within a few nodes: a logarithm, or what the softmax itself was taken of."""
    front = [node]
    for _ in range(4):
        if any(n is source or n.name() in _LOGARITHMS for n in front):
            return True
        front = [child for n in front for child, _ in n.next_functions if child is not None][:8]
    return False
