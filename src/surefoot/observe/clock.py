"""What one step is: the outermost ``step()`` of an optimiser, counted for each; the largest count is the run's step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

_compiling = torch.compiler.is_compiling
MOST_PAUSE = 16  # of a player: a critic has five or ten steps for one of the generator's; what rests longer is none
TAKES_OVER = 64  # steps in a row after which an optimiser leads the count, though another did more, and others rest


@dataclass(slots=True)
class OptimizerState:
    """What is known of one optimiser: its name in signals ("" where there is one) and how many steps it took."""

    ref: weakref.ref[Optimizer]
    name: str
    count: int = 0
    in_backward: bool = False  # it stands for all optimisers that step inside a backward: one backward is one step
    stepped_in: int = 0  # the run's step that its newest step belongs to
    pause: int = 0  # steps of the run from the one before to that


class Clock:
    """Counts steps through nesting: a wrapper optimiser that steps an inner one is one step, a closure is inside.

    ``first`` is the number of the first step; it is 0 where that is looked at and not taken.
    """

    def __init__(self, first: int = 1) -> None:
        self._before = first - 1
        self._leader: OptimizerState | None = None  # whose count is the run's
        self._last: OptimizerState | None = None
        self._streak = 0
        self._states: dict[int, tuple[weakref.ref[Optimizer], OptimizerState]] = {}
        self._open: list[int] = []  # optimisers whose step() is running, outermost first

    @property
    def steps(self) -> int:
        """The run's step: how many it took so far."""
        return self._before if self._leader is None else self._leader.count

    @property
    def inside_step(self) -> bool:
        """Whether an optimiser's ``step()`` is running, e.g. one that calls a closure."""
        return bool(self._open)

    @property
    def states(self) -> list[OptimizerState]:
        """The optimisers known so far, in the order they were met; those that were deleted are left out."""
        return list({id(s): s for ref, s in self._states.values() if ref() is not None}.values())

    @property
    def optimizers(self) -> list[Optimizer]:
        """All optimisers that are counted and still there."""
        return [o for ref, _ in self._states.values() if (o := ref()) is not None]

    def known(self, optimizer: Optimizer) -> OptimizerState | None:
        """The state of an optimiser that was added."""
        ref, state = self._states.get(id(optimizer), (None, None))
        # an id is given again after its owner died
        return state if ref is not None and ref() is optimizer else None

    def add(self, optimizer: Optimizer, name: str, in_backward: bool = False) -> OptimizerState:
        """Begin to count for ``optimizer``. All that step ``in_backward`` share one state."""
        ref = weakref.ref(optimizer)
        shared = next((s for _, s in self._states.values() if s.in_backward), None) if in_backward else None
        state = OptimizerState(ref, name, self._before, in_backward) if shared is None else shared
        self._states[id(optimizer)] = (ref, state)
        return state

    def hand_over(self, state: OptimizerState, optimizer: Optimizer) -> None:
        """``optimizer`` takes the place of the one that ``state`` was counted for, and goes on from there."""
        state.ref = weakref.ref(optimizer)
        self._states[id(optimizer)] = (state.ref, state)

    def enter(self, optimizer: Optimizer) -> bool:
        """``step()`` begins; whether it is an outermost one."""
        key = id(optimizer)
        if not self._open:
            self._open.append(key)
            return True
        if key in self._open:
            # its last step() raised, so its end was never seen: this is a new one
            del self._open[self._open.index(key) :]
        self._open.append(key)
        return len(self._open) == 1

    def leave(self, optimizer: Optimizer) -> bool:
        """``step()`` ended; whether it was an outermost one."""
        key = id(optimizer)
        if self._open == [key]:
            self._open.clear()
            return True
        if key not in self._open:
            return False
        del self._open[self._open.index(key) :]
        return not self._open

    def tick(self, state: OptimizerState) -> bool:
        """Count a step of ``state``; whether the run's own count advanced with it.

        An optimiser that replaces the one which led so far (the next fold, the next stage) counts on from there.
        """
        state.count += 1
        state.pause, state.stepped_in = self.steps + 1 - state.stepped_in, self.steps + 1
        self._streak = self._streak + 1 if state is self._last else 1
        self._last = state
        if state is self._leader:
            return True
        if state.count <= self.steps:
            gone = self._leader is None or self._leader.ref() is None
            if gone or self._streak > TAKES_OVER:
                state.count = self.steps + 1
        if state.count > self.steps:
            if self._leader is not None:
                self._leader.stepped_in = self.steps  # while it led nobody had to note that
            self._leader = state
            return True
        return False

    def rests_since(self, state: OptimizerState) -> int | None:
        """The run's step since which an optimiser no longer takes part, for it let many pass; None where it does."""
        since = state.stepped_in + TAKES_OVER
        return since if state is not self._leader and state.count and self.steps > since else None

    def next_of_all(self, step: int) -> int:
        """The first step from ``step`` on in which each optimiser takes part, if all go on as they did last: players of
        a game may step once for several steps of another. ``step`` itself where none is soon, or it can't be told.
        """
        playing = [s for s in self.states if s is not self._leader and s.count > 1 and s.pause <= MOST_PAUSE]
        playing = [s for s in playing if step - s.stepped_in <= s.pause]
        candidates = range(step, step + MOST_PAUSE)
        return next((c for c in candidates if all((c - s.stepped_in) % max(1, s.pause) == 0 for s in playing)), step)


class Idle:
    """Counts the steps of one optimiser while nothing else is due: all that most steps cost where steps are short.

    It is small on purpose, for after a step's arithmetic whatever it touches is in no cache: a nanosecond of a tight
    loop is ten here.

    Parameters
    ----------
    wake : called when the count has reached ``until``
    other : called with the optimiser and its arguments when another one has stepped
    """

    __slots__ = ("_key", "_other", "_state", "_wake", "until")

    def __init__(self, wake: Callable[[], None], other: Callable[[Optimizer, Any, Any], None]) -> None:
        self.until = 0
        self._wake, self._other = wake, other
        self._key = 0
        self._state: OptimizerState | None = None

    def follow(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Count the steps of this one, whose count is the run's."""
        self._key, self._state = id(optimizer), state

    def tick(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step is over (a global step post-hook)."""
        if _compiling():
            return
        if id(optimizer) != self._key:
            self._other(optimizer, args, kwargs)
            return
        state = self._state
        state.count += 1  # type: ignore[union-attr]
        if state.count >= self.until:  # type: ignore[union-attr]
            self._wake()
