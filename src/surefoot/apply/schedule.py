"""``schedule``: learning-rate schedulers move once in so many steps of their optimiser, however often the script calls.

A scheduler counts calls of its ``step()`` and knows neither of batches nor of epochs: called once a batch, a schedule
made for epochs is over early; called once an epoch, one made for batches hardly begins. And it writes its rate into the
optimiser that it was made with, which may not be the one that steps.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.observe.discover import census

_BY_METRIC = lr_scheduler.ReduceLROnPlateau  # it moves by what it is told, not by how often


class Schedule(Cure):
    """Calls ``scheduler.step()`` after each ``every``-th step of the optimiser. The script's own calls without an
    argument do nothing, unless ``every`` is None; schedulers that others are made of are left to these.

    A scheduler of an optimiser that has not stepped serves one of the same parameters from its first step on; one of an
    optimiser that has, if that one has none of its own, and the rate that it begins with.
    """

    id = "schedule"

    def __init__(self, desk: Desk, every: int | None) -> None:
        super().__init__(desk)
        self.every = every
        self._schedulers: list[weakref.ref[LRScheduler]] = []
        self._more = True  # some may be alive that are not among them
        self._taken: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        self._ours = False  # the call under way is not the script's
        self._over: weakref.WeakSet[LRScheduler] = weakref.WeakSet()
        self._given = 0  # schedulers to another optimiser

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """The ``step`` of every kind of scheduler that has its own."""
        for kind in vars(lr_scheduler).values():
            own = isinstance(kind, type) and issubclass(kind, LRScheduler) and "step" in vars(kind)
            if own and kind is not _BY_METRIC:
                yield kind, "step", functools.partial(self._step, guard)

    def _step(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def step(scheduler: LRScheduler, *args: Any, **kwargs: Any) -> None:
            if args or kwargs or guard(self._passes, scheduler) is not False:
                original(scheduler, *args, **kwargs)

        return step

    def _passes(self, scheduler: LRScheduler) -> bool:
        """Whether a call is to go through: ours, and the one by which a scheduler is made."""
        if getattr(scheduler, "_step_count", 1) == 0:
            self._more = True
            return True
        return self._ours or self.every is None

    def restore(self, optimizer: Optimizer) -> None:
        """The step is over: time for the schedule to move, or not yet."""
        taken = self._taken[optimizer] = self._taken.get(optimizer, self.desk.offset) + 1
        if self._more:
            self._more = False
            self._schedulers = [weakref.ref(s) for s in census().schedulers if not isinstance(s, _BY_METRIC)]
        alive = [s for ref in self._schedulers if (s := ref()) is not None]
        if taken == self.desk.offset + 1:
            self._adopt(optimizer, alive)
        if self.every is not None and taken % self.every == 0:
            self._move(optimizer, alive)

    def _adopt(self, optimizer: Optimizer, alive: list[LRScheduler]) -> None:
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        served = any(_one(s.optimizer, optimizer) for s in alive)
        for scheduler in alive:
            other = getattr(scheduler, "optimizer", optimizer)
            theirs = {id(p) for group in other.param_groups for p in group["params"]}
            same_groups = len(other.param_groups) == len(optimizer.param_groups)
            stepped = other in self._taken
            if not _one(other, optimizer) and not (stepped and served) and same_groups and mine & theirs:
                scheduler.optimizer = optimizer
                if stepped:  # another stage, which begins with a rate of its own
                    scheduler.base_lrs = [group["lr"] for group in optimizer.param_groups]
                self._given += 1
                self.act()

    def _move(self, optimizer: Optimizer, alive: list[LRScheduler]) -> None:
        inner = {id(part) for whole in alive for part in getattr(whole, "_schedulers", ())}
        moved = [s for s in alive if _one(s.optimizer, optimizer) and id(s) not in inner and s not in self._over]
        self._ours = True
        try:
            for scheduler in moved:
                try:
                    scheduler.step()
                except ValueError:  # a schedule that says so when it is over: the rate stays where it ends
                    self._over.add(scheduler)
        finally:
            self._ours = False
        if moved:
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to move."""
        if not self.acted:
            self.note("no scheduler of an optimizer that stepped was met; nothing was changed")

    def summary(self) -> str:
        """How often."""
        given = f"gave {self._given:,} schedules to the optimizer that steps"
        if self.every is None:
            return given
        often = "each step" if self.every == 1 else f"every {self.every:,} steps"
        moved = f"moved the schedules at {often} of their optimizer, {self.acted - self._given:,} times in all"
        return f"{moved}, and {given}" if self._given else moved


def _one(optimizer: Optimizer, other: Optimizer) -> bool:
    """Whether they are the same, or one is wrapped in the other and has its groups."""
    return any(mine is theirs for mine in optimizer.param_groups for theirs in other.param_groups)
