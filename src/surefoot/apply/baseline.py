"""``baseline``: what a policy's log-probabilities are weighted with is measured against the batch.

Rewards that are never negative make whatever was tried likelier, and the larger they are the more, whether it was
better or worse than the rest. They are brought to mean 0 and variance 1 over the batch, in the gradient: the loss that
the script sees and prints stays what it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surefoot.analysis.advantages import graded
from surefoot.apply.cure import Cure
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.nodes import Node, saved
from surefoot.observe.random_parts import find_policy_terms


class Baseline(Cure):
    """Takes the batch's mean off rewards and divides by its deviation (Williams 1992)."""

    id = "baseline"

    def at_backward(self, tensors: Any) -> None:
        """Find what multiplies log-probabilities, and let the product's gradient be another one."""
        roots = roots_of(tensors)
        if torch._C._current_graph_task_id() != -1:
            return
        terms = find_policy_terms(roots)
        rewards = {} if terms is None else {f.data_ptr(): f for f in terms.factors if _bare(f)}
        if not rewards:
            return
        acted = False
        for node in read_graph(roots).nodes:
            factor = saved(node, "self", "other") if node.name() == "MulBackward0" else None
            if factor is not None and factor.data_ptr() in rewards and factor.numel() > 1:
                node.register_hook(_weighted((factor - factor.mean()) / factor.std(), node))
                acted = True
        if acted:
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no loss held log-probabilities that are weighted by rewards above 0 alone; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"measured rewards against their batch in {self.acted:,} losses"


def _bare(factor: Tensor) -> bool:
    return bool((factor >= 0).all()) and bool(graded(factor))


def _weighted(advantages: Tensor, node: Node) -> Any:
    """The gradient of a product with these in the place of the factor that it saved."""

    def hook(inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        return tuple(
            None if given is None else (outputs[0] * advantages).sum_to_size(given.shape).to(given) for given in inputs
        )

    return hook
