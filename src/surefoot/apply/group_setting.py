"""A number of an optimiser's groups that is another one for the length of each step.

It is put back when the step is over: schedulers, checkpoints and the script itself see what they wrote.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk


class GroupSetting(Cure):
    """Sets ``group[key]`` for each step; what to is :meth:`value`'s to say."""

    key: ClassVar[str]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._lent: list[tuple[dict[str, Any], Any, Any]] = []  # group, what it had, what it got

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """What the step is to find; ``old`` itself leaves it alone."""
        raise NotImplementedError

    def before_step(self, optimizer: Optimizer) -> None:
        """Set it."""
        changed = False
        for group in optimizer.param_groups:
            old = group.get(self.key)
            if old is None:
                continue
            new = self.value(optimizer, group, old)
            if new is not old:
                group[self.key] = new
                self._lent.append((group, old, new))
                changed = True
        if changed:
            self.act()

    def restore(self, optimizer: Optimizer) -> None:
        """Put it back, unless the optimiser itself has written another one."""
        for group, old, new in reversed(self._lent):
            if group.get(self.key) is new:
                group[self.key] = old
        self._lent.clear()
