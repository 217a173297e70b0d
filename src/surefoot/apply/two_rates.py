"""``two-rates``: the generator of a game steps more slowly, and its critic faster.

A critic must be near its best reply for what it tells the generator to mean anything (Heusel et al. 2017, GANs Trained
by a Two Time-Scale Update Rule, arXiv 1706.08500).
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from surefoot.apply.cure import Desk, ModelCure
from surefoot.apply.group_setting import GroupSetting
from surefoot.apply.players import Players


class TwoRates(GroupSetting, ModelCure):
    """Divides the generator's learning rate by a factor, and multiplies the critic's by it."""

    id = "two-rates"
    key = "lr"

    def __init__(self, desk: Desk, factor: float) -> None:
        super().__init__(desk)
        self.factor = factor
        self._players = Players()

    def met(self, model: nn.Module) -> None:
        """See who makes samples, and who judges."""
        self._players.follow(model)

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The player's own rate."""
        if self._players.generates(optimizer):
            return old / self.factor
        return old * self.factor if self._players.judges(optimizer) else old

    def at_close(self) -> None:
        """Take the hooks off; say so where there was no game."""
        self._players.let_go()
        if not self.acted:
            self.note("no model was met whose inputs another model makes, as a critic's; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"slowed the generator by {self.factor:g} and sped the critic up by it in {self.acted:,} steps"
