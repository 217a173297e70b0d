"""``lr-search``: the learning rate is multiplied by a factor that the script itself is asked for.

Before its first step the script goes on in branches (:mod:`surefoot.apply.branch`) with each of several factors, on the
same batches and random numbers, and the factor that comes to the lowest loss (:mod:`surefoot.apply.trial`) is taken:
first by decades over a few steps, then closer, to the script's end or for as long as there is time. Where no branch can
be made, or none comes further than the start, it is the factor that was given.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import torch
from torch.optim import Optimizer

from surefoot.apply.branch import refusal
from surefoot.apply.cure import Desk
from surefoot.apply.lr_scale import LearningRateScale
from surefoot.apply.trial import Course, Trial, scores

_DECADES = 5  # that are tried at first, in the direction of the factor that was given
_FIRST_STEPS = 32
# What the best factor so far is multiplied by in each further round, of branches to the end: few steps tell no more
# than the decade, and not always that (on a plateau all rates look alike).
_ROUNDS = ((0.1, 1.0, 10.0), (0.1**0.5, 10**0.5))


class LearningRateSearch(LearningRateScale):
    """Finds the factor, then does what :class:`surefoot.apply.lr_scale.LearningRateScale` does."""

    id = "lr-search"

    def __init__(self, desk: Desk, factor: float, seconds: float) -> None:
        super().__init__(desk, factor)
        self._given, self._seconds = factor, seconds
        self._searched = desk.offset > 0  # a run that is continued was begun with another factor
        self._trial = Trial(self)
        self._how = ""

    def at_backward(self, tensors: Any) -> None:
        """Search, before the first one."""
        if not self._searched and torch._C._current_graph_task_id() == -1:
            self._searched = True
            why = refusal()
            if why is None:
                self._search()
            else:
                self.note(f"{why}; the rate is multiplied by {self._given:g}, and not searched for")
        self._trial.at_backward(tensors)

    def before_step(self, optimizer: Optimizer) -> None:
        """Set the rate."""
        self._trial.before_step(optimizer)
        super().before_step(optimizer)

    def _search(self) -> None:
        begun = time.monotonic()
        best, found = self._given, False
        whole: dict[float, Course] = {}  # of branches to the end, by factor
        decades = tuple(10.0**k / best for k in range(-_DECADES, _DECADES + 1))
        for number, around in enumerate((decades, *_ROUNDS)):
            near = [best * f for f in around]
            # the way that was asked for; both, where none was
            tried = [f for f in near if self._given == 1 or (not math.isclose(f, 1) and (f < 1) == (self._given < 1))]
            left = self._seconds - self._trial.spent
            changes = [functools.partial(setattr, self, "factor", f) for f in tried]
            steps = None if number else _FIRST_STEPS
            courses = self._trial.courses(changes, steps, left / (1 + len(_ROUNDS) - number))
            if courses is None:
                return  # this is a branch
            compared = dict(zip(tried, courses, strict=True))
            if number:
                compared = whole = whole | compared
            means = scores(list(compared.values()), by_losses=not number)
            if means is not None:  # else they were too few steps to tell from chance
                best, found = list(compared)[means.index(min(means))], True
        if found:
            self.factor = best
            self._how = f", found by branches of the script in {time.monotonic() - begun:.2g} s"
        else:
            self.note(f"no branch of the script came further; the rate is multiplied by {self.factor:g}")

    def at_close(self) -> None:
        """Say so where no optimiser had a rate to change."""
        self._trial.at_close()
        super().at_close()

    def summary(self) -> str:
        """How often, and what the factor is from."""
        return super().summary() + self._how
