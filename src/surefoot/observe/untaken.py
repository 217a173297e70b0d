"""Losses that a script computes and takes no step on: a guard that keeps a loss which is not finite from its backward.

Such a run goes on without steps, so that nothing else is seen of it. Losses are counted as the loss functions of
``torch.nn.functional`` give them; what they are is asked only once there were far more since the last step than usual.
"""

from __future__ import annotations

_MANY = 4  # times as many losses as a step has
_FIRST = 16  # steps that show how many a step has


class UntakenLosses:
    """Counts losses that take a gradient since the last step.

    Attributes
    ----------
    count : how many there were
    """

    __slots__ = ("_due", "_most", "_step", "count")

    def __init__(self) -> None:
        self.count = 0
        self._step = -1
        self._most = 1  # losses that one of the first steps had
        self._due = _MANY

    def computed(self, step: int) -> bool:
        """One more, after so many steps; whether it is to be looked at: the 4th, 8th, 16th, … where a step has one."""
        if step != self._step:
            if 0 < self._step <= _FIRST:
                self._most = max(self._most, self.count)
            self._step, self.count = step, 0
            self._due = _MANY * self._most
        self.count += 1
        if self.count < self._due:
            return False
        self._due *= 2
        return True
