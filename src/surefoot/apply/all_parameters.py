"""``all-parameters``: trainable parameters that the loss depends on, and that nobody updates, join the optimiser.

They are found in the graph of the loss, wherever the script keeps them (layers in a plain list are no parameters of
their model). They join after the first step that left them as they were, in the optimiser's largest group. The graph is
read at each backward, for parameters may come at any time, and what waits for them learns nothing.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk
from surefoot.observe.discover import census
from surefoot.observe.graph import read_graph, roots_of


class AllParameters(Cure):
    """Adds them to a group's ``params``."""

    id = "all-parameters"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._waiting: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}  # not held: as it was before a step
        self._stepped = False
        self._added = 0

    def at_backward(self, tensors: Any) -> None:
        """Look for parameters that nobody holds; add those that a step has left as they were."""
        if torch._C._current_graph_task_id() != -1:
            return
        leaves = [x for x in read_graph(roots_of(tensors)).leaves if isinstance(x, nn.Parameter) and x.requires_grad]
        optimizers = census().optimizers
        held = [{id(p) for group in o.param_groups for p in group["params"]} for o in optimizers]
        missed = [x for x in leaves if not any(id(x) in ids for ids in held)]
        still = [x for x in missed if self._stepped and self._unchanged(x)]
        if still:
            shares = [sum(id(x) in ids for x in leaves) for ids in held]
            if max(shares, default=0):
                # not a group of their own: a scheduler that was made before keeps one rate for each group there was
                groups = optimizers[shares.index(max(shares))].param_groups
                max(groups, key=lambda group: len(group["params"]))["params"].extend(still)
                for x in still:
                    x.grad = None  # nobody has cleared what came together so far
                self._added += len(still)
                self.act()
        self._waiting = {id(x): (weakref.ref(x), x.detach().clone()) for x in missed if all(x is not a for a in still)}
        self._stepped = False

    def _unchanged(self, parameter: Tensor) -> bool:
        """Nobody updates it by hand."""
        ref, before = self._waiting.get(id(parameter), (None, None))
        return ref is not None and ref() is parameter and torch.equal(before, parameter.detach())  # type: ignore[arg-type]

    def after_step(self, optimizer: Optimizer) -> None:
        """Somebody has stepped."""
        self._stepped = True

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        self._waiting.clear()
        if not self.acted:
            self.note("no optimiser missed a parameter of the loss; nothing was changed")

    def summary(self) -> str:
        """How many."""
        return f"gave {self._added:,} parameter tensors to the optimiser" if self._added else "added no parameter"
