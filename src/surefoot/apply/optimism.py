"""``optimism``: each step is taken along the gradient as it will be some steps on, by how it has changed."""

from __future__ import annotations

import weakref

from torch import Tensor
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, parameters_of
from surefoot.optim.optimism import OptimisticGradient


class Optimism(Cure):
    """Puts :class:`surefoot.optim.OptimisticGradient` before each optimiser's step, and the gradients back after it."""

    id = "optimism"

    def __init__(self, desk: Desk, strength: float) -> None:
        super().__init__(desk)
        self.strength = strength
        self._ahead: weakref.WeakKeyDictionary[Optimizer, OptimisticGradient] = weakref.WeakKeyDictionary()
        self._plain: list[tuple[Tensor, Tensor]] = []

    def at_gradients(self, optimizer: Optimizer) -> None:
        """Look ahead."""
        ahead = self._ahead.get(optimizer)
        if ahead is None:
            held = [p for group in optimizer.param_groups for p in group["params"]]
            ahead = self._ahead[optimizer] = OptimisticGradient(held, self.strength)
        self._plain = [(p, p.grad.clone()) for p in parameters_of(optimizer) if p.grad is not None]
        ahead.step()
        self.act()

    def restore(self, optimizer: Optimizer) -> None:
        """The script sees the gradients that it computed."""
        for p, gradient in self._plain:
            if p.grad is not None:
                p.grad.copy_(gradient)
        self._plain = []

    def summary(self) -> str:
        """How often."""
        return f"looked {self.strength:g} steps ahead in {self.acted:,} steps"
