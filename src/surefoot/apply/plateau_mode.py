"""``plateau-mode``: a ``ReduceLROnPlateau`` takes its number to get better the way that it does.

Told of an accuracy in the mode for losses, it keeps the first one as the best for ever. The mode is set before the
first number is looked at, so that patience, factor and bounds are the script's own.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from surefoot.apply.cure import Cure, Desk, Patch


class PlateauMode(Cure):
    """Sets the mode of each such scheduler at its first call."""

    id = "plateau-mode"

    def __init__(self, desk: Desk, mode: str) -> None:
        super().__init__(desk)
        self.mode = mode
        self._met: weakref.WeakSet[ReduceLROnPlateau] = weakref.WeakSet()

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """The call by which it is told a number."""
        yield ReduceLROnPlateau, "step", functools.partial(self._step, guard)

    def _step(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def step(scheduler: ReduceLROnPlateau, *args: Any, **kwargs: Any) -> Any:
            guard(self._turn, scheduler)
            return original(scheduler, *args, **kwargs)

        return step

    def _turn(self, scheduler: ReduceLROnPlateau) -> None:
        if scheduler in self._met:
            return
        self._met.add(scheduler)
        if scheduler.mode == self.mode:
            return
        worst = math.inf if self.mode == "min" else -math.inf
        scheduler.mode, scheduler.mode_worse, scheduler.best = self.mode, worst, worst
        self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note(f"no ReduceLROnPlateau in another mode than {self.mode!r} was stepped; nothing was changed")

    def summary(self) -> str:
        """How many."""
        return f"set {self.acted:,} plateau schedulers to mode {self.mode!r}"
