"""``descend``: steps go down the loss, where an optimiser was told to maximise it, or is given the negative of it."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting
from surefoot.observe.graph import roots_of
from surefoot.observe.loss_sum import negated, times


class Descend(GroupSetting):
    """Sets ``maximize`` to False for each step; turns the gradient round where a backward begins from the negative of
    one of torch's loss functions. The loss that the script sees and prints stays what it is."""

    id = "descend"
    key = "maximize"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._turned = 0

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """False."""
        return False if old is True else old

    def at_backward(self, tensors: Any) -> None:
        """Turn the gradient of a negative loss round."""
        roots = roots_of(tensors)
        if len(roots) != 1 or torch._C._current_graph_task_id() != -1:
            return
        node = negated(roots[0])
        if node is not None:
            node.register_prehook(times(torch.tensor(-1.0)))
            self._turned += 1
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no optimizer maximises, and no loss is the negative of one of torch's; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return (
            f"took {self.acted - self._turned:,} steps down that were to go up, and turned the gradient of "
            f"{self._turned:,} negative losses round"
        )
