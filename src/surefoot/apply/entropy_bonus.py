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
    """Adds the gradient of −coef · H to what the policy's log-softmax gets back, or the logits whose log-sum-exp was
    taken off them, as ``Categorical`` does (Williams and Peng 1991)."""

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
            kind = node.name()
            value = saved(node, {"LogSoftmaxBackward0": "result", "LogsumexpBackward0": "self"}.get(kind, ""))
            if value is None or value.data_ptr() != terms.logits.data_ptr():
                continue
            log_p = value.log_softmax(-1)
            p, rows = log_p.exp(), max(1, value.numel() // value.shape[-1])
            if kind == "LogSoftmaxBackward0":  # of Σ p log p, by log p
                node.register_prehook(_plus(self.coef / rows * p * (log_p + 1), 0))
            else:  # by the logits
                source, place = node.next_functions[0]
                entropy = -(p * log_p).sum(-1, keepdim=True)
                source.register_prehook(_plus(self.coef / rows * p * (log_p + entropy), place))
            self.act()
            return

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no loss held log-probabilities of a softmax that are weighted by rewards; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"rewarded entropy with {self.coef:g} in {self.acted:,} losses"


def _plus(bonus: Tensor, place: int) -> Any:
    return lambda gradients: tuple(
        g if g is None or number != place else g + bonus.to(g) for number, g in enumerate(gradients)
    )
