"""``temper``: logits that are certain before anything was learned go into cross-entropy shorter.

A temperature that is too low, or a factor in front of a softmax, makes every answer certain whatever the features say:
of what is learned first most is to be less certain. The size of the first logits says how much shorter they have to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from surefoot.apply.cross_entropy import CrossEntropyCure
from surefoot.apply.cure import Desk


class Temper(CrossEntropyCure):
    """Multiplies logits by one factor throughout, such that the first ones differ by ``rms`` within a row."""

    id = "temper"

    def __init__(self, desk: Desk, rms: float) -> None:
        super().__init__(desk)
        self.rms = rms
        self._factor = 0.0

    def cross_entropy(self, logits: Tensor, targets: Tensor, loss: Callable[[], Tensor], how: dict[str, Any]) -> Tensor:
        """Torch's loss, of logits that are no larger at first than they should be."""
        if not self._factor:
            rows = logits.detach().float()
            classes = min(1, rows.dim() - 1)
            size = float((rows - rows.mean(classes, keepdim=True)).square().mean().sqrt())
            self._factor = min(1.0, self.rms / size) if size > 0 else 1.0
        if self._factor == 1:
            return loss()
        self.act()
        return F.cross_entropy(logits * self._factor, targets, **how)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted and not self.compiled:
            self.note("no logits were too large as they first went into cross_entropy; nothing was changed")

    def summary(self) -> str:
        """By how much, and how often."""
        return f"multiplied logits by {self._factor:.2g} in {self.acted:,} losses{self.in_compiled_code}"
