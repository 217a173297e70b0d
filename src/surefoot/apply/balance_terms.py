"""``balance-terms``: where a loss is a visible sum, each term's gradient is brought to the length of the largest.

Terms that the script gave a weight below 1 of its own are small on purpose (penalties, bonuses), and keep it. The loss
that the script sees and prints stays what it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from surefoot.apply.cure import Cure, Desk
from surefoot.losses.term_balance import TermBalance, shared_norms
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.loss_sum import Term, ones_like_edge, split, times
from surefoot.runs.schema import OWN_WEIGHT

_AT_FIRST, _EVERY = 16, 10  # steps at which weights are found anew: all of the first, then each tenth


class BalanceTerms(Cure):
    """Asks :class:`surefoot.losses.TermBalance`; scales what each term sends back, in the script's own backward."""

    id = "balance-terms"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._balance: dict[tuple[str, ...], TermBalance] = {}  # by the names of the terms
        self._shown: dict[str, float] = {}

    def at_backward(self, tensors: Any) -> None:
        """Weigh the terms of the loss."""
        roots = roots_of(tensors)
        if len(roots) != 1 or torch._C._current_graph_task_id() != -1:
            return
        terms = [t for t in split(roots[0]) if t.weight is None or abs(float(t.weight)) >= OWN_WEIGHT]
        if len(terms) < 2:
            return
        names = tuple(term.name for term in terms)
        balance = self._balance.setdefault(names, TermBalance())
        if balance.weights is None or self.acted < _AT_FIRST or self.acted % _EVERY == 0:
            balance.update(self._norms(roots[0], terms))
        assert balance.weights is not None
        for term, weight in zip(terms, balance.weights, strict=True):
            term.edge.node.register_prehook(times(weight))
        self._shown = dict(zip(names, balance.weights.tolist(), strict=True))
        self.act()

    def _norms(self, root: Tensor, terms: list[Term]) -> Tensor:
        parameters = [x for x in read_graph([root]).leaves if isinstance(x, Parameter) and x.requires_grad]
        gradients = [
            torch.autograd.grad(
                [term.edge], parameters, [ones_like_edge(term.edge, root)], retain_graph=True, allow_unused=True
            )
            for term in terms
        ]
        return shared_norms(gradients, root)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no loss was a sum of two terms or more, of weight 1 or more; nothing was changed")

    def summary(self) -> str:
        """By what factors."""
        told = ", ".join(f"{name} × {weight:.3g}" for name, weight in self._shown.items())
        return f"balanced the terms of {self.acted:,} losses ({told})" if self.acted else "balanced no loss"
