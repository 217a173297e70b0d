"""``lr-search``: the learning rate is multiplied by a factor that the script itself is asked for.

Before its first step the script goes on in branches (:mod:`surefoot.apply.branch`), some steps with each of several
factors, on the same batches and random numbers, and the factor with the lowest loss at the end of them is taken: first
by decades over a few steps, then closer and over more. Where no branch can be made, or none lowers the loss, it is the
factor that was given.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import torch
from torch.optim import Optimizer

from surefoot.apply.branch import refusal
from surefoot.apply.cure import Desk
from surefoot.apply.lr_scale import LearningRateScale
from surefoot.apply.trial import Trial, scores

_DECADES = 5  # that are tried at first, in the direction of the factor that was given
_STEPS = (32, 128, 512)  # of a branch, in each round


class LearningRateSearch(LearningRateScale):
    """Finds the factor, then does what :class:`surefoot.apply.lr_scale.LearningRateScale` does."""

    id = "lr-search"

    def __init__(self, desk: Desk, factor: float, seconds: float) -> None:
        super().__init__(desk, factor)
        self._given, self._seconds = factor, seconds
        self._searched = desk.offset > 0  # a run that is continued was begun with another factor
        self._trial = Trial()
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
        factors = [10.0**k for k in range(-_DECADES, _DECADES + 1)]
        found = False
        for number, steps in enumerate(_STEPS):
            # the way that was asked for; both, where none was
            tried = [f for f in factors if self._given == 1 or (f != 1 and (f < 1) == (self._given < 1))]
            left = self._seconds - (time.monotonic() - begun)
            changes = [functools.partial(self._change, f) for f in tried]
            losses = self._trial.losses(changes, steps, left / (len(_STEPS) - number))
            if losses is None:
                return  # this is a branch
            means = scores(losses)
            if means is None:
                break
            self.factor, found = tried[means.index(min(means))], True
            width = 10 ** (0.5 / (number + 1))
            factors = [self.factor / width, self.factor, self.factor * width]
            if not number:
                factors.insert(0, self.factor / 10)
        if found:
            self._how = f", found by branches of the script in {time.monotonic() - begun:.2g} s"
        else:
            self.note(f"no branch of the script lowered its loss; the rate is multiplied by {self.factor:g}")

    def _change(self, factor: float) -> None:
        """In a branch: try this one."""
        self.factor = factor
        self.reinstate()

    def at_close(self) -> None:
        """Say so where no optimiser had a rate to change."""
        self._trial.at_close()
        super().at_close()

    def summary(self) -> str:
        """How often, and what the factor is from."""
        return super().summary() + self._how
