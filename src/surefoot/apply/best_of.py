"""``best-of``: of several remedies, the one that lowers the script's loss most.

A finding names what would cure it, and often there are several ways: other weights, norms, another activation. As soon
as the first optimiser is made, the script goes on in branches (:mod:`surefoot.apply.branch`) with each of them, and the
best is put in place; of several that are as good the first. Where no branch can be made, that is taken.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from torch.optim import Optimizer

from surefoot.apply.branch import refusal
from surefoot.apply.cure import Cure, Desk
from surefoot.apply.trial import Trial, ranked

_STEPS = (64, 256)  # of a branch, in each round
_KEPT = 2  # remedies that come to the last round


class BestOf(Cure):
    """Tries remedies in branches, and adds the best to what is in place."""

    id = "best-of"
    wants_models = True

    def __init__(self, desk: Desk, of: tuple[str, ...], seconds: float) -> None:
        super().__init__(desk)
        self._of, self._seconds = of, seconds
        self._chosen: str | None = of[0] if desk.offset > 0 else None
        self._trial = Trial()
        self._how = ""
        if desk.offset > 0:
            self.note(f"the run is continued, so there is nothing to compare; {of[0]} is taken")

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Choose."""
        if self._how:
            return
        why = refusal()
        if self._chosen is None and why is None:
            self._choose()
            if self._chosen is None:
                return  # this is a branch
        else:
            self._how = f"; {why}" if why else "; the run is continued"
        self._chosen = self._chosen or self._of[0]
        self.act()
        self.add(self._chosen)

    def _choose(self) -> None:
        begun = time.monotonic()
        left, found = list(self._of), False
        self._how = "; nothing lowered the loss"
        for number, steps in enumerate(_STEPS):
            if len(left) == 1:
                break
            seconds = (self._seconds - (time.monotonic() - begun)) / (len(_STEPS) - number)
            losses = self._trial.losses([functools.partial(self._try, choice) for choice in left], steps, seconds)
            if losses is None:
                return
            order = ranked(losses)
            if order is None:
                break
            found = True
            left = [left[i] for i in order[:_KEPT]]
        self._chosen = left[0]
        if found:
            self._how = f" of {len(self._of)} tried in branches of the script, in {time.monotonic() - begun:.2g} s"

    def _try(self, choice: str) -> None:
        """In a branch."""
        self.reinstate()
        self.add(choice)

    def at_backward(self, tensors: Any) -> None:
        """In a branch, keep the loss."""
        self._trial.at_backward(tensors)

    def before_step(self, optimizer: Optimizer) -> None:
        """In a branch, tell it."""
        self._trial.before_step(optimizer)

    def at_close(self) -> None:
        """Say so where there was nothing to choose for."""
        self._trial.at_close()
        if self._chosen is None:
            self.note("no optimizer was made; nothing was changed")

    def summary(self) -> str:
        """Which."""
        return f"took {self._chosen}{self._how}" if self._chosen is not None else "took nothing"
