"""``entropy-bonus``: a policy that is learned by the rewards of what it tries is rewarded for trying.

coef times the mean entropy of the policy is taken off the loss, by its gradient: the loss that the script sees and
prints stays what it is. The policy is found in the graph of the loss, by log-probabilities that are weighted by numbers
without a gradient of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Desk
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.nodes import saved
from surefoot.observe.random_parts import find_policy_terms


class EntropyBonus(Cure):
    """Adds −coef · H to what the log-softmax of the policy gets back (Williams and Peng 1991)."""

    id = "entropy-bonus"

    def __init__(self, desk: Desk, coef: float) -> None:
        super().__init__(desk)
        self.coef = coef

    def at_backward(self, tensors: Any) -> None:
        """Find the policy, and add the gradient."""
        roots = roots_of(tensors)
        if torch._C._current_graph_task_id() != -1:
            return
        terms = find_policy_terms(roots)
        if terms is None or terms.logits is None or not terms.logits.dim():
            return
        for node in read_graph(roots).nodes:
            result = saved(node, "result") if node.name() == "LogSoftmaxBackward0" else None
            if result is not None and result.data_ptr() == terms.logits.data_ptr():
                rows = max(1, result.numel() // result.shape[-1])
                # of Σ p log p, by log p
                bonus = self.coef / rows * result.exp() * (result + 1)
                node.register_prehook(_plus(bonus))
                self.act()
                return

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no loss held log-probabilities of a softmax that are weighted by rewards; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"rewarded entropy with {self.coef:g} in {self.acted:,} losses"


def _plus(bonus: Tensor) -> Any:
    return lambda gradients: tuple(None if g is None else g + bonus.to(g) for g in gradients)
