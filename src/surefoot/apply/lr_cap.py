"""``lr-cap``: no step is taken with a higher learning rate than a given one."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting


class LearningRateCap(GroupSetting):
    """Bounds the learning rate of every group, whatever the script or a scheduler writes there."""

    id = "lr-cap"
    key = "lr"

    def __init__(self, desk: Desk, max: float) -> None:
        super().__init__(desk)
        self.max = max

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The rate, or the bound."""
        return old if float(old) <= self.max else old * (self.max / float(old))

    def at_close(self) -> None:
        """Say so where no rate was above the bound."""
        if not self.acted:
            self.note(f"no learning rate was above {self.max:g}; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} steps with {self.max:g} in the place of a higher learning rate"
