"""Seconds of surefoot's own inside the steps of a run: every one is charged once, to the step that it was spent on."""

from __future__ import annotations

import math
import time

from surefoot.observe.budget import Budget

# Seconds that the steps after a look cost more than others: the look has pushed their code and data out of the caches.
AFTER_LOOK = 5e-4
_now = time.perf_counter
_work_now = time.thread_time


class Account:
    """What was spent since the last settlement, and how long the run's own steps took meanwhile.

    Whoever begins to work calls :meth:`open`, and :meth:`close` at the end if that was True; work inside work (a hook
    of ours called from a pass of ours) is charged with it.
    """

    __slots__ = ("_budget", "_settled_at", "_settled_step", "_since", "_spent", "_work", "_work_since")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._spent = 0.0
        self._since = 0.0  # when it was opened; 0 while it is closed
        self._work = self._work_since = 0.0  # the same in processor time of this thread
        self._settled_at = math.nan
        self._settled_step = 0

    def open(self) -> bool:
        """Work of ours begins; whether it is outermost."""
        if self._since:
            return False
        self._since, self._work_since = _now(), _work_now()
        return True

    def close(self) -> None:
        """The outermost work is over."""
        self._spent += _now() - self._since
        self._work += _work_now() - self._work_since
        self._since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether work of ours is under way."""
        return self._since != 0.0

    @property
    def spent(self) -> float:
        """Seconds of ours since the last settlement, those of the work under way included."""
        return self._spent + (_now() - self._since if self._since else 0.0)

    def step_time(self, step: int) -> float | None:
        """The run's own seconds a step since the last settlement, told to the budget; None at the first step.

        To be called in the work that began as ``step`` ended.
        """
        seconds = self._since - self._settled_at - self._spent
        if not seconds >= 0:
            return None
        count = step - self._settled_step
        self._budget.steps_taken(count, seconds)
        return seconds / count

    def settle(self, step: int, looked: bool) -> None:
        """Charge the budget with what was spent; what comes from now on is spent on the next step."""
        idle_steps = step - self._settled_step - 1
        if looked:
            work = self._work + _work_now() - self._work_since
            self._budget.look_taken(self.spent + AFTER_LOOK, None if self._budget.waits else work + AFTER_LOOK)
            self._budget.settled(0.0, idle_steps)
        else:
            self._budget.settled(self.spent, idle_steps)
        self._spent = self._work = 0.0
        self._since, self._work_since = _now(), _work_now()
        self._settled_at = self._since
        self._settled_step = step
