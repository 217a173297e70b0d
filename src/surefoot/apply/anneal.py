"""``anneal``: in the place of the script's schedule, a short warm-up and a cosine to zero, as long as the run."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting
from surefoot.optim.warmup import warmup_cosine

_WARM = 0.05  # of the run, as in Wortsman et al. 2024 (arXiv 2309.14322), §2.1


class Anneal(GroupSetting):
    """Lets the rate that a group began with, or that its scheduler was to reach, fall to zero over ``steps``.

    What schedulers write is passed over; a rate that is a tensor stays one.
    """

    id = "anneal"
    key = "lr"

    def __init__(self, desk: Desk, steps: int) -> None:
        super().__init__(desk)
        self.steps = steps
        self._taken: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        self._first: dict[int, float] = {}  # id of a group's first parameter → the rate that it was met with

    def before_step(self, optimizer: Optimizer) -> None:
        """Count the step, and set its rate."""
        self._taken[optimizer] = self._taken.get(optimizer, self.desk.offset) + 1
        super().before_step(optimizer)

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The rate of this step."""
        known = id(group["params"][0]) if group["params"] else 0
        highest = max(float(group.get(key, old)) for key in ("lr", "initial_lr", "max_lr"))
        base = self._first.setdefault(known, highest)
        at = min(self._taken[optimizer], self.steps)
        rate = warmup_cosine(at, base, warmup=int(_WARM * self.steps), total=self.steps, final_lr=0.0)
        return old.new_tensor(rate) if isinstance(old, Tensor) else rate

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} steps on a warm-up and a cosine to zero over {self.steps:,}"
