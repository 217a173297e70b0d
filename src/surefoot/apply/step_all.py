"""``step-all``: what is held and never moves is stepped with the others.

An optimiser that is never stepped, though its parameters get gradients; and parameter groups whose learning rate is 0
at a step in which another group of the same optimiser has one, which is then theirs.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch.optim import Optimizer

from surefoot.apply.cure import Desk, parameters_of
from surefoot.apply.group_setting import GroupSetting
from surefoot.observe.discover import census

_WAIT = 2  # steps of another one; of two that take turns, each has stepped by then


class StepAll(GroupSetting):
    """Steps it, and clears its gradients, after the step of an optimiser that the script steps itself."""

    id = "step-all"
    key = "lr"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._taken: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        self._idle: list[weakref.ref[Optimizer]] = []
        self._stepped = self._raised = 0

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The highest rate of the others in the place of zero."""
        if float(old) != 0:
            return old
        highest = max(float(other.get("lr") or 0.0) for other in optimizer.param_groups)
        self._raised += highest > 0
        return highest or old

    def before_step(self, optimizer: Optimizer) -> None:
        """It is stepped by the script."""
        super().before_step(optimizer)
        self._taken[optimizer] = self._taken.get(optimizer, 0) + 1

    def after_step(self, optimizer: Optimizer) -> None:
        """Step those that are never stepped."""
        if self._taken[optimizer] <= _WAIT:
            return
        if self._taken[optimizer] == _WAIT + 1:
            held = {id(p) for o in self._taken for group in o.param_groups for p in group["params"]}
            others = [o for o in census().optimizers if o not in self._taken]
            # one inside a wrapper is stepped by that, and holds the same
            self._idle = [
                weakref.ref(o) for o in others if all(id(p) not in held for g in o.param_groups for p in g["params"])
            ]
        stepped = False
        for ref in self._idle:
            idle = ref()
            if idle is not None and idle not in self._taken and parameters_of(idle):
                idle.step()
                idle.zero_grad()
                stepped = True
        if stepped:
            self._stepped += 1
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("every optimiser was stepped with a rate, or had no gradients; nothing was changed")

    def summary(self) -> str:
        """How often."""
        told = [f"stepped optimisers that the script never steps, {self._stepped:,} times"] * (self._stepped > 0)
        told += [f"gave groups at rate 0 that of the others, {self._raised:,} times"] * (self._raised > 0)
        return "; ".join(told) or "stepped nothing that the script does not"
