"""``best-of``: of several remedies, the one with which the script comes to the lowest loss.

A finding names what would cure it, and often there are several ways: other weights, norms, another activation, a lower
rate. As soon as the first optimiser is made, the script goes on in branches (:mod:`surefoot.apply.branch`) with each of
them, and as it is, to its end or for as long as there is time, and the best (:mod:`surefoot.apply.trial`) is put in
place; of several that are as good the first, and none where the script comes further by itself. Where the time does
not reach to the end of all, half of it goes to short branches and the rest to the best of them, and to those that have
changed nothing so far: what they wait for comes later. Where no branch can be
made, the first remedy is taken.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from torch.optim import Optimizer

from surefoot.apply.branch import at_once, refusal
from surefoot.apply.catalogue import parse, together
from surefoot.apply.cure import Cure, Desk
from surefoot.apply.trial import Trial, ranked

NOTHING = "nothing"
_FINALISTS = 2  # that go on to the end where the time does not reach for all
_AROUND = (1.0, 0.1**0.5, 0.1, 10**0.5)  # times the factor that was given


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
        choices = list(dict.fromkeys(one for choice in self._of for one in _spread(choice)))
        running, seconds = [*choices, NOTHING], self._seconds / 2
        found = False
        for last in (False, True):
            changes = [functools.partial(self._put, choice) for choice in running]
            courses = self._trial.courses(changes, None, seconds)
            if courses is None:
                return
            order = ranked(courses)
            if order is None:
                break
            alone = courses[running.index(NOTHING)] if NOTHING in running else None
            waits = [choice for choice, course in zip(running, courses, strict=True) if course.as_by_itself(alone)]
            found, running = True, [running[i] for i in order]
            if last or not any(course.cut for course in courses):
                break
            # in the order that was given, by which those that are as good are told apart
            best = {*running[: max(_FINALISTS, at_once())], *waits[:_FINALISTS]}
            running = [choice for choice in (*choices, NOTHING) if choice in best]
            seconds = self._seconds - self._trial.spent
        if found:
            self._how = f" of {len(choices)} tried in branches of the script, in {time.monotonic() - begun:.2g} s"
        self._chosen = running[0] if found else choices[0]

    def _put(self, choice: str) -> None:
        for remedy in together(choice) if choice != NOTHING else ():
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
        if self._chosen == NOTHING:
            return f"took nothing: the script comes as far by itself as with the best{self._how}"
        return f"took {self._chosen}{self._how}" if self._chosen is not None else "took nothing"


def _spread(choice: str) -> list[str]:
    """What a choice is tried as: a rate that is to be searched for as several, beside the one that was given.

    The evidence knows the rate to within a decade or so, and a branch cannot search in branches of its own.
    """
    remedies = [parse(text) for text in together(choice)]
    searched = next((one for one in remedies if one.id == "lr-search"), None)
    if searched is None:
        return [choice]
    given = float(dict(searched.settings)["factor"])
    factors = [given * by for by in _AROUND]
    same_way = [f for f in factors if given == 1 or (f < 0.99) == (given < 1)]
    others = [str(one) for one in remedies if one is not searched]
    return ["+".join([f"lr-scale:factor={factor:.3g}", *others]) for factor in same_way]
