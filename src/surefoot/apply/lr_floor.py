"""``lr-floor``: no step is taken with a lower learning rate than a given one."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting


class LearningRateFloor(GroupSetting):
    """Raises the learning rate of every group that is below, whatever the script or a scheduler writes there."""

    id = "lr-floor"
    key = "lr"

    def __init__(self, desk: Desk, min: float) -> None:
        super().__init__(desk)
        self.min = min

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The rate, or the bound; a rate of zero is one that nothing is to be learned with."""
        rate = float(old)
        return old if rate >= self.min or rate == 0 else old * (self.min / rate)

    def at_close(self) -> None:
        """Say so where no rate was below the bound."""
        if not self.acted:
            self.note(f"no learning rate was below {self.min:g}; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} steps with {self.min:g} in the place of a lower learning rate"
