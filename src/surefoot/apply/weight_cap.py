"""``weight-cap``: where a loss is a visible sum, no term gets a higher weight than a given one, or than its first.

A term that began above the bound is none of those that outgrow the others, and keeps what it had at first. The loss
that the script sees and prints stays what it is.
"""

from __future__ import annotations

from typing import Any

import torch

from surefoot.apply.cure import Cure, Desk
from surefoot.observe.graph import roots_of
from surefoot.observe.loss_sum import split, times


class WeightCap(Cure):
    """Scales what a term sends back, in the script's own backward, once its weight is above the bound."""

    id = "weight-cap"

    def __init__(self, desk: Desk, max: float) -> None:
        super().__init__(desk)
        self.max = max
        self._bounds: dict[str, float] = {}  # by term

    def at_backward(self, tensors: Any) -> None:
        """Bound the weights of this loss."""
        roots = roots_of(tensors)
        if len(roots) != 1 or torch._C._current_graph_task_id() != -1:
            return
        for term in split(roots[0]):
            if term.weight is None:
                continue
            weight = term.weight.abs()
            bound = self._bounds.setdefault(term.name, max(self.max, float(weight)))
            if weight > bound:
                term.edge.node.register_prehook(times(bound / weight))
                self.act()

    def at_close(self) -> None:
        """Say so where no weight was above the bound."""
        if not self.acted:
            self.note(f"no weight of a term grew above {self.max:g}; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"bounded {self.acted:,} weights of terms by {self.max:g} or their first"
