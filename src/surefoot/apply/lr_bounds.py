"""``lr-cap`` and ``lr-floor``: no step is taken with a higher, or a lower, learning rate than a given one."""

from __future__ import annotations

from typing import Any, ClassVar

from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting


class _Bound(GroupSetting):
    """Holds the learning rate of every group on one side of a bound, whatever the script or a scheduler writes."""

    key = "lr"
    beyond: ClassVar[str]

    def __init__(self, desk: Desk, bound: float) -> None:
        super().__init__(desk)
        self.bound = bound

    def is_beyond(self, rate: float) -> bool:
        """Whether a step is not to be taken with it."""
        raise NotImplementedError

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The rate, or the bound."""
        rate = float(old)
        return old * (self.bound / rate) if self.is_beyond(rate) else old

    def at_close(self) -> None:
        """Say so where no rate was beyond the bound."""
        if not self.acted:
            self.note(f"no learning rate was {self.beyond} {self.bound:g}; nothing was changed")

    def summary(self) -> str:
        """How often."""
        comparative = {"above": "higher", "below": "lower"}[self.beyond]
        return f"took {self.acted:,} steps with {self.bound:g} in the place of a {comparative} learning rate"


class LearningRateCap(_Bound):
    """No rate above ``max``."""

    id = "lr-cap"
    beyond = "above"

    def __init__(self, desk: Desk, max: float) -> None:
        super().__init__(desk, max)

    def is_beyond(self, rate: float) -> bool:
        """Above."""
        return rate > self.bound


class LearningRateFloor(_Bound):
    """No rate below ``min``, but for zero: one that nothing is to be learned with."""

    id = "lr-floor"
    beyond = "below"

    def __init__(self, desk: Desk, min: float) -> None:
        super().__init__(desk, min)

    def is_beyond(self, rate: float) -> bool:
        """Below, and not zero."""
        return 0 != rate < self.bound
