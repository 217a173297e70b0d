"""What one step is: the outermost ``step()`` of an optimiser, counted for each; the largest count is the run's step."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from torch.optim import Optimizer

TAKES_OVER = 64  # steps in a row after which an optimiser leads the count, though another did more before


@dataclass(slots=True)
class OptimizerState:
    """What is known of one optimiser: its name in signals ("" where there is one) and how many steps it took."""

    ref: weakref.ref[Optimizer]
    name: str
    count: int = 0
    in_backward: bool = False  # it stands for all optimisers that step inside a backward: one backward is one step


class Clock:
    """Counts steps through nesting: a wrapper optimiser that steps an inner one is one step, a closure is inside."""

    def __init__(self) -> None:
        self.steps = 0
        self._leader: OptimizerState | None = None  # whose count is the run's
        self._last: OptimizerState | None = None
        self._streak = 0
        self._states: dict[int, tuple[weakref.ref[Optimizer], OptimizerState]] = {}
        self._open: list[int] = []  # optimisers whose step() is running, outermost first

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
        state = OptimizerState(ref, name, in_backward=in_backward) if shared is None else shared
        self._states[id(optimizer)] = (ref, state)
        return state

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
        self._streak = self._streak + 1 if state is self._last else 1
        self._last = state
        if state.count <= self.steps and state is not self._leader:
            gone = self._leader is None or self._leader.ref() is None
            if gone or self._streak > TAKES_OVER:
                state.count = self.steps + 1
        if state.count > self.steps:
            self.steps = state.count
            self._leader = state
            return True
        return False
