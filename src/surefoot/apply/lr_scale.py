"""``lr-scale``: each step is taken with a multiple of the script's own learning rate."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting


class LearningRateScale(GroupSetting):
    """Multiplies the learning rate of every group, whatever a scheduler writes there."""

    id = "lr-scale"
    key = "lr"

    def __init__(self, desk: Desk, factor: float) -> None:
        super().__init__(desk)
        self.factor = factor

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The rate times the factor."""
        return old if self.factor == 1 else old * self.factor

    def at_close(self) -> None:
        """Say so where no optimiser had a rate to change."""
        if self.factor != 1 and not self.acted:
            self.note("no optimiser with a learning rate stepped; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} steps with {self.factor:g} times the script's learning rate"
