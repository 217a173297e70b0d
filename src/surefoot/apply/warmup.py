"""``warmup``: the learning rate grows linearly from near zero over the first steps of each optimiser."""

from __future__ import annotations

import weakref
from typing import Any

from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting
from surefoot.optim.warmup import warmup_factor


class WarmUp(GroupSetting):
    """Multiplies the script's own rate by :func:`surefoot.optim.warmup_factor`."""

    id = "warmup"
    key = "lr"

    def __init__(self, desk: Desk, steps: int) -> None:
        super().__init__(desk)
        self.steps = steps
        self._taken: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()

    def before_step(self, optimizer: Optimizer) -> None:
        """Count the step, and set its rate."""
        self._taken[optimizer] = self._taken.get(optimizer, self.desk.offset) + 1
        super().before_step(optimizer)

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The rate times its share at this step."""
        share = warmup_factor(self._taken[optimizer], self.steps)
        return old if share == 1 else old * share

    def summary(self) -> str:
        """How often."""
        return f"took the first {self.acted:,} of {self.steps:,} steps with a smaller learning rate"
