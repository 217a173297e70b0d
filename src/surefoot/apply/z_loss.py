"""``z-loss``: what a cross-entropy gives in training has coef · (log Z)² added to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from surefoot.apply.cross_entropy import CrossEntropyCure
from surefoot.apply.cure import Desk
from surefoot.losses.z_loss import penalty


class ZLoss(CrossEntropyCure):
    """Adds :func:`surefoot.losses.z_loss` to torch's own cross-entropy, whose numbers stay what they are."""

    id = "z-loss"

    def __init__(self, desk: Desk, coef: float) -> None:
        super().__init__(desk)
        self.coef = coef

    def cross_entropy(self, logits: Tensor, targets: Tensor, loss: Callable[[], Tensor], how: dict[str, Any]) -> Any:
        """Torch's loss, and the penalty."""
        value = loss()
        if self.coef == 0:
            return value
        extra = penalty(logits, targets, self.coef, how.get("ignore_index", -100), how.get("reduction", "mean"))
        self.act()
        return value + extra.to(value.dtype)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted and not self.compiled and self.coef:
            self.note("the script's training made no call of cross_entropy; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"added {self.coef:g} · (log Z)² to {self.acted:,} losses{self.in_compiled_code}"
