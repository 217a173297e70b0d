"""``term-weight``: where a loss is a visible sum, one of its terms gets a multiple of the weight that it has.

Terms go by the names that the record has for them (``term_gradient_norm``), with a dot for the blank. The loss that the
script sees and prints stays what it is.
"""

from __future__ import annotations

from typing import Any

import torch

from surefoot.apply.cure import Cure, Desk
from surefoot.observe.graph import roots_of
from surefoot.observe.loss_sum import split, times


class TermWeight(Cure):
    """Scales what the term sends back, in the script's own backward."""

    id = "term-weight"

    def __init__(self, desk: Desk, term: str) -> None:
        super().__init__(desk)
        name, _, factor = term.rpartition("*")
        self.term, self.factor = name.replace(".", " "), float(factor)

    def at_backward(self, tensors: Any) -> None:
        """Weigh the term, if this loss has it."""
        roots = roots_of(tensors)
        if len(roots) != 1 or torch._C._current_graph_task_id() != -1:
            return
        for term in split(roots[0]):
            if term.name == self.term:
                term.edge.node.register_prehook(times(torch.tensor(self.factor)))
                self.act()

    def at_close(self) -> None:
        """Say so where there was no such term."""
        if not self.acted:
            self.note(f"no loss was a sum with a term {self.term}; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"gave {self.term} {self.factor:.3g} times its weight in {self.acted:,} losses"
