"""``adam-eps``: each step of an Adam-like optimiser is taken with another epsilon."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting


class AdamEpsilon(GroupSetting):
    """Sets ``eps`` where an optimiser has one."""

    id = "adam-eps"
    key = "eps"

    def __init__(self, desk: Desk, eps: float) -> None:
        super().__init__(desk)
        self.eps = eps

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The epsilon, unless it is the script's own, or too small for weights in half precision."""
        if not isinstance(old, float) or old == self.eps:
            return old
        least = max((torch.finfo(p.dtype).tiny for p in group["params"] if p.is_floating_point()), default=0.0)
        if self.eps < least:
            self.note(
                f"eps={self.eps:g} is zero in the precision of some weights; their group keeps {old:g} "
                f"(the least that would do is {least:.2g})"
            )
            return old
        return self.eps

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted and not self.noted:
            self.note("no optimiser with another eps stepped; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} steps with eps = {self.eps:g}"
