"""Which steps are looked at, and at the end of which step something is due; until then nothing but steps is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from surefoot.observe.budget import Budget
from surefoot.observe.clock import Clock, Idle, OptimizerState
from surefoot.observe.gather import Gatherer
from surefoot.observe.guard import Guard

ATTENDED = 4  # steps after an odd loss that tell whether it was the batch's or the weights': rules ask for three


class Pace:
    """Decides from one due step to the next.

    Parameters
    ----------
    budget : decides which steps are looked at, and how often scalars are read
    clock : the run's count of steps
    gatherer : put on the models for a look, and taken off after
    guard : runs a function of ours inside one of the script's
    other : called while idle with an optimiser that has stepped and whose count is not the run's

    Attributes
    ----------
    looking : whether the step that is under way is looked at
    due : scalars are read, and accounts settled, at the end of this step
    idle : until then nothing else is done than to count steps
    woke : after how many steps it was idle for the last time: no backward of the one that others now end was seen
    nested : some optimiser steps another: every begin and end must be seen to tell which counts, so never idle
    hearing : while idle, losses are read as well, to tell those that are odd
    deaf : they are not to be: a step asks for losses of its own, by a closure
    tick : called with the optimiser and its arguments at the end of each step while idle
    on_idle : called when ``idle`` changes
    """

    def __init__(
        self,
        budget: Budget,
        clock: Clock,
        gatherer: Gatherer,
        guard: Guard,
        other: Callable[[Optimizer, Any, Any], None],
    ) -> None:
        self.looking = self.idle = self.nested = self.hearing = self.deaf = False
        self.due = clock.steps + 1
        self.woke = -1
        self.on_idle: Callable[[bool], None] | None = None
        self._budget, self._clock, self._gatherer, self._guard = budget, clock, gatherer, guard
        self._idle = Idle(lambda: self.set_idle(False), other)
        self.tick: Callable[[Optimizer, Any, Any], None] = self._idle.tick
        self._main: OptimizerState | None = None  # whose count is the run's
        self._stride = 1  # from one due step to the next, where none of them is looked at
        self._attended = 0  # until which step each is due
        self._owed: int | None = None  # step that waits to be looked at until all players take part

    def lead(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """The run's count is this optimiser's."""
        if state is not self._main:
            self._main = state
            self._idle.follow(optimizer, state)

    def spread(self, step: int) -> None:
        """Decide anew how far apart due steps are."""
        self._stride = self._budget.scalar_stride(step)

    def wake(self) -> None:
        """A loss that was heard is odd: read the steps after it one by one."""
        self._budget.woken()
        self.attend()

    def attend(self) -> None:
        """Be idle no more, and read the next steps one by one."""
        self.due = self._clock.steps + 1
        self._attended = self.due + ATTENDED
        self.set_idle(False)

    def arm(self, step: int) -> None:
        """Decide whether ``step`` is looked at, and at the end of which step something is due."""
        if self.looking:
            self._guard("activations", self._gatherer.withdraw)
        if self._owed is None and self._budget.allows(step):
            self._owed = step if self._budget.every is not None else self._clock.next_of_all(step)
        self.looking = self._owed is not None and self._owed <= step
        if self.looking:
            self._owed = None
            self._guard("activations", self._gatherer.prepare)
        if self.looking or step <= self._attended:
            self.due = step
        else:
            # the last step before a multiple of the stride, or before the next look that the opening owes
            self.due = (step + self._stride) // self._stride * self._stride - 1
            wanted = self._owed if self._owed is not None else self._budget.next_on_credit(step)
            if wanted is not None:
                self.due = min(self.due, wanted - 1)
        self.rest(step)

    def rest(self, step: int) -> None:
        """Be idle until something is due, if nothing has to be followed from one step into the next."""
        self.hearing = not self.deaf and self._budget.hears()
        self._idle.until = self.due - 1
        self.set_idle(step < self.due and not self.nested and not self._gatherer.probes)

    def set_idle(self, idle: bool) -> None:
        """Step out of the script's way, or back in."""
        if idle != self.idle:
            self.idle = idle
            self.woke = self._clock.steps
            if self.on_idle is not None:
                self.on_idle(idle)
