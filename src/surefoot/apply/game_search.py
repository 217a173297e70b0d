"""``game-search``: of several remedies for two players, those that bring what is generated nearest to the data.

In a game no loss says how well it goes. What the critic is given does: the generator's samples and the data, whose
energy distance is 0 where they are of one distribution. So the script goes on in branches
(:mod:`surefoot.apply.branch`) with each remedy, then for longer with the best of them and the best two together, and
those are put in place whose samples are nearest to the data over the last quarter of a branch.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from surefoot.analysis.generated import energy_distance
from surefoot.apply.branch import Trunk, explore, refusal, spent
from surefoot.apply.cure import Desk, ModelCure
from surefoot.apply.players import Players

_STEPS = (256, 2048)  # of the generator, in each round
_FINALS = 3  # single remedies that come to the second round


class GameSearch(ModelCure):
    """Tries remedies in branches, and adds the best, or the best two, to what is in place."""

    id = "game-search"

    def __init__(self, desk: Desk, of: tuple[str, ...], seconds: float) -> None:
        super().__init__(desk)
        self._of, self._seconds = of, seconds
        self._chosen: tuple[str, ...] = ()
        self._how = ""
        self._players = Players()
        self._trunk: Trunk | None = None
        self._left = 0
        self._spent = 0.0

    def met(self, model: nn.Module) -> None:
        """In a branch, see what it is given and makes."""
        self._players.follow(model)

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Choose, as the first is made."""
        super().at_optimizer(optimizer)
        if self._chosen or self._trunk is not None:
            return
        why = "the run is continued" if self.desk.offset > 0 else refusal()
        if why is not None:
            self._chosen, self._how = self._of[:1], f"; {why}"
        else:
            self._choose()
            if self._trunk is not None:
                return
        self._players.let_go()
        self.act()
        self._put(self._chosen)

    def _choose(self) -> None:
        begun = time.monotonic()
        single = [(choice,) for choice in self._of]
        distances = self._tried(single, _STEPS[0], self._seconds / 2)
        if distances is None:
            return
        order = sorted(range(len(single)), key=distances.__getitem__)
        first, *others = (single[i] for i in order)
        self._chosen, self._how = first, "; no game of samples and data was seen"
        if not math.isfinite(distances[order[0]]):
            return
        beside = next((one for one in others if _id(one) != _id(first)), ())
        finals = [first, *others[: _FINALS - 1], *([first + beside] if beside else [])]
        late = self._tried(finals, _STEPS[1], self._seconds - self._spent)
        if late is None:
            return
        self._chosen = finals[min(range(len(finals)), key=late.__getitem__)]
        self._how = f" of {len(self._of)} tried in branches of the script, in {time.monotonic() - begun:.2g} s"

    def _tried(self, choices: Sequence[tuple[str, ...]], steps: int, seconds: float) -> list[float] | None:
        """How far the samples end from the data with each; None in a branch."""

        def begin(trunk: Trunk) -> None:
            self._trunk, self._left = trunk, steps
            self.reinstate()

        branches = explore([functools.partial(self._put, choice) for choice in choices], seconds, begin)
        if branches is None:
            return None
        self._spent += spent(branches)
        longest = max(len(one.told) for one in branches)
        return [_last(one.told) if 2 * len(one.told) > longest else math.inf for one in branches]

    def _put(self, choice: tuple[str, ...]) -> None:
        for remedy in choice:
            self.add(remedy)

    def at_backward(self, tensors: Any) -> None:
        """In a branch, tell how far samples are from data, once a step of the generator."""
        made, data = self._players.made, self._players.data
        if self._trunk is None or made is None or data is None:
            return
        self._trunk.tell(float(energy_distance(made, data)))
        self._players.made = None
        self._left -= 1
        if self._left <= 0:
            self._trunk.end()

    def at_close(self) -> None:
        """The script's end is a branch's, too; say so where there was nothing to choose for."""
        if self._trunk is not None:
            self._trunk.end()
        if not self._chosen:
            self.note("no optimizer was made; nothing was changed")

    def summary(self) -> str:
        """Which."""
        return f"took {' and '.join(self._chosen)}{self._how}" if self._chosen else "took nothing"


def _id(choice: tuple[str, ...]) -> str:
    return choice[0].partition(":")[0]


def _last(told: Sequence[float]) -> float:
    """The mean over the last quarter; infinite where one of it is not finite."""
    last = told[-max(1, len(told) // 4) :]
    mean = math.fsum(last) / len(last) if last else math.inf
    return mean if math.isfinite(mean) else math.inf
