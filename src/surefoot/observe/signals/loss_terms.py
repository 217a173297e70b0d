"""The terms of a loss that is a visible sum: the value of each, and the gradient that each sends into the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.listeners import somebody_listens
from surefoot.observe.loss_sum import ones_like_edge, split

SIGNALS = ("term_value", "term_weight", "term_gradient_norm", "term_alignment", "term_shared_norm")
MAX_ELEMENTS = 1 << 23  # of all terms' gradients together


class LossTerms(Instrument):
    """Reads each term's value and weight, and borrows the graph once a term as far as the budget has room for it.

    A graph with custom functions is not borrowed, and neither is one where somebody listens to gradients (hooks on
    tensors, ``retain_grad``): they would be called once more.
    """

    name: ClassVar[str] = "terms"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: dict[str, tuple[Tensor | None, ...]] = {}
        self._listeners: bool | None = None  # None: not sought yet

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Split the loss and differentiate its terms one by one."""
        self._read = {}
        if len(roots) != 1 or self.tools.scene.checkpointing:
            return
        terms = split(roots[0])
        parameters = [leaf for leaf in view.leaves if view.trains(leaf) and leaf.requires_grad]
        if not terms or not parameters:
            return
        loss = roots[0].detach()
        for term in terms:
            known = (None if t is None else t.detach().float().to(loss.device) for t in (term.value, term.weight))
            self._read[term.name] = (*known, None, None, None)
        if not self._may_borrow(view, parameters, len(terms)):
            return
        with self.tools.spending("terms"):
            self.tools.scene.borrowing = True
            try:
                gradients = [
                    torch.autograd.grad(
                        [term.edge],
                        parameters,
                        grad_outputs=[ones_like_edge(term.edge, roots[0])],
                        retain_graph=True,
                        allow_unused=True,
                    )
                    for term in terms
                ]
            finally:
                self.tools.scene.borrowing = False
            with torch.no_grad():
                flat = torch.stack([_flat(g, parameters) for g in gradients])
                gram = flat @ flat.T
                norms = gram.diagonal().sqrt()
                alignment = gram.sum(dim=1) / (norms * gram.sum().sqrt())
                shared = _shared(gradients, norms)
            for i, term in enumerate(terms):
                self._read[term.name] = (*self._read[term.name][:2], norms[i], alignment[i], shared[i])

    def _may_borrow(self, view: GraphView, parameters: Sequence[Tensor], terms: int) -> bool:
        """Whether the terms' gradients may be asked for at this look; their values and weights cost nothing."""
        if self._listeners or terms * sum(p.numel() for p in parameters) > MAX_ELEMENTS:
            return False
        if not view.complete or not self.tools.affords("terms", 0.7 * terms):
            return False
        if any(isinstance(node, BackwardCFunction) for node in view.nodes):
            return False
        if any(p._backward_hooks or p.is_sparse or p.layout != torch.strided for p in parameters):
            return False
        if self._listeners is None:
            with self.tools.spending("terms: listeners"):
                self._listeners = somebody_listens()
        return not self._listeners

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write what was read."""
        read, self._read = self._read, {}
        step = self.tools.scene.clock.steps
        for name, numbers in read.items():
            where = f"{state.name}: {name}" if state.name else name
            asked = {signal: n for signal, n in zip(SIGNALS, numbers, strict=True) if n is not None}

            def write(found: list[np.ndarray], where: str = where, names: tuple[str, ...] = tuple(asked)) -> None:
                self.tools.rows.put(step, "terms", where, **dict(zip(names, map(float, found), strict=True)))

            self.tools.ask(step, list(asked.values()), write)


def _shared(gradients: Sequence[Sequence[Tensor | None]], like: Tensor) -> Tensor:
    """The norm of each term's gradient over the parameters that another term reaches, too."""
    both = [sum(g is not None for g in of) > 1 for of in zip(*gradients, strict=True)]
    squares = [[g.float().square().sum() for g, b in zip(of, both, strict=True) if b and g is not None]
               for of in gradients]  # fmt: skip
    return torch.stack([torch.stack(own).sum().sqrt() if own else like.new_zeros(()) for own in squares])


def _flat(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat(
        [
            (p.new_zeros(p.numel()) if g is None else g.reshape(-1)).float()
            for g, p in zip(gradients, parameters, strict=True)
        ]
    )
