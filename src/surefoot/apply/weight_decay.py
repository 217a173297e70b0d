"""``weight-decay``: after each step, weights shrink by a share of themselves, as under ``torch.optim.AdamW``."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, parameters_of


class WeightDecay(Cure):
    """Multiplies by 1 − lr · decay what the optimiser has moved, whichever optimiser it is and on top of a decay of its
    own. Biases and gains of normalisations, of one dimension, stay."""

    id = "weight-decay"

    def __init__(self, desk: Desk, decay: float) -> None:
        super().__init__(desk)
        self.decay = decay

    def after_step(self, optimizer: Optimizer) -> None:
        """Shrink."""
        stepped = {id(p) for p in parameters_of(optimizer)}
        with torch.no_grad():
            for group in optimizer.param_groups:
                weights = [p for p in group["params"] if p.dim() > 1 and id(p) in stepped]
                if weights and group.get("lr") is not None:
                    torch._foreach_mul_(weights, 1 - min(1.0, float(group["lr"]) * self.decay))
        self.act()

    def summary(self) -> str:
        """How often."""
        return f"took lr · {self.decay:g} off the weights after each of {self.acted:,} steps"
