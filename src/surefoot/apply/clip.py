"""``clip``: the gradient of each step is shortened to a bound on its norm."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, gradient_scale, parameters_of


class Clip(Cure):
    """Calls ``torch.nn.utils.clip_grad_norm_`` on all that the optimiser steps with."""

    id = "clip"

    def __init__(self, desk: Desk, max_norm: float) -> None:
        super().__init__(desk)
        self.max_norm = max_norm
        self._clipped: torch.Tensor | None = None  # steps, summed where they are: nothing waits for a device

    def at_gradients(self, optimizer: Optimizer) -> None:
        """Clip."""
        gradients = [p.grad for p in parameters_of(optimizer) if p.grad is not None and not p.grad.is_sparse]
        if not gradients:
            return
        bound = self.max_norm * gradient_scale(optimizer)
        norm = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, (bound / norm).clamp(max=1.0))
        over = (norm > bound).long()
        self._clipped = over if self._clipped is None else self._clipped.to(over.device) + over
        self.act()

    def summary(self) -> str:
        """How often."""
        clipped = 0 if self._clipped is None else int(self._clipped)
        return f"clipped {clipped:,} of {self.acted:,} gradients to a norm of {self.max_norm:g}"
