"""``best-of``: of several remedies, the one with which the script comes to the lowest loss.

A finding names what would cure it, and often there are several ways: other weights, norms, another activation. As soon
as the first optimiser is made, the script goes on in branches (:mod:`surefoot.apply.branch`) with each of them, to its
end or for as long as there is time, and the best (:mod:`surefoot.apply.trial`) is put in place; of several that are as
good the first. Where no branch can be made, that is taken.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from torch.optim import Optimizer

from surefoot.apply.branch import refusal
from surefoot.apply.catalogue import together
from surefoot.apply.cure import Cure, Desk
from surefoot.apply.trial import Trial, ranked


class BestOf(Cure):
    """Tries remedies in branches, and adds the best to what is in place."""

    id = "best-of"
    wants_models = True

    def __init__(self, desk: Desk, of: tuple[str, ...], seconds: float) -> None:
        super().__init__(desk)
        self._of, self._seconds = of, seconds
        self._chosen: str | None = of[0] if desk.offset > 0 else None
        self._trial = Trial(self)
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
        self._put(self._chosen)

    def _choose(self) -> None:
        begun = time.monotonic()
        self._how = "; nothing lowered the loss"  # in a branch, too, which is not to choose again
        changes = [functools.partial(self._put, choice) for choice in self._of]
        courses = self._trial.courses(changes, None, self._seconds)
        if courses is None:
            return
        order = ranked(courses)
        if order is not None:
            self._how = f" of {len(self._of)} tried in branches of the script, in {time.monotonic() - begun:.2g} s"
        self._chosen = self._of[0 if order is None else order[0]]

    def _put(self, choice: str) -> None:
        for remedy in together(choice):
            self.add(remedy)

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
