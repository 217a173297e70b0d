"""``zero-grad``: gradients that a step has used are cleared before the next backward adds to them.

They stay to be seen until then. What is added up between two steps (gradient accumulation) is not touched; a closure
(LBFGS) is called several times a step, and its gradients are used each time. Where nobody steps an optimiser, a
parameter that has other numbers than at the last backward was updated by hand.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, parameters_of
from surefoot.observe.by_hand import Mark
from surefoot.observe.graph import read_graph, roots_of


class ZeroGradients(Cure):
    """Calls ``optimizer.zero_grad()`` in the script's place."""

    id = "zero-grad"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._used = False
        self._met: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self._marks: dict[int, Mark] = {}  # parameters, as they were at the last backward

    def at_backward(self, tensors: Any) -> None:
        """Clear what has been used: of all that have stepped, for in a game the backward of one leaves gradients in the
        other."""
        if torch._C._current_graph_task_id() != -1:
            return
        if not self._met:
            self._of_updates_by_hand(tensors)
        if not self._used:
            return
        self._used = False
        left = [optimizer for optimizer in self._met if parameters_of(optimizer)]
        for optimizer in left:
            optimizer.zero_grad()
        if left:
            self.act()

    def _of_updates_by_hand(self, tensors: Any) -> None:
        leaves = [x for x in read_graph(roots_of(tensors)).leaves if x.requires_grad]
        used = [x for x in leaves if x.grad is not None and id(x) in self._marks and self._marks[id(x)].changed(x)]
        for x in used:
            x.grad = None
        if used:
            self.act()
        self._marks = {id(x): Mark.of(x, None) for x in leaves}

    def at_gradients(self, optimizer: Optimizer) -> None:
        """The gradients are complete, and used before the next backward: each time that a closure has made them."""
        self._met.add(optimizer)
        self._marks.clear()
        self._used = True

    def summary(self) -> str:
        """How often."""
        return f"cleared the gradients of {self.acted:,} steps"
