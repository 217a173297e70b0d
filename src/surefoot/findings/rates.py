"""Where a learning rate stands: its highest value, the one that did well, and since when next to nothing is left."""

from __future__ import annotations

from collections import deque

FADED = 1e-4  # of the highest learning rate: what is left of a schedule that is over
JUMP = 4.0  # so many times what it was is another learning rate
_LAG = 16  # rows: half of those that the level of a loss is the median of


class RateLevel:
    """The learning rate of one optimiser, followed at every row of scalars: schedules move between looks.

    Attributes
    ----------
    newest : the newest rate.
    peak : the largest so far.
    well : the largest until the loss was at its best level: no step at it has undone what was learned.
    faded_step : first step of the unbroken stretch in which the rate is at most 1e-4 of ``peak``, else None.
    """

    __slots__ = ("_peaks", "faded_step", "newest", "peak", "well")

    def __init__(self) -> None:
        self.newest = self.peak = self.well = 0.0
        self.faded_step: int | None = None
        self._peaks: deque[float] = deque(maxlen=_LAG)

    def add(self, step: int, rate: float) -> None:
        """Take in the rate of one step."""
        self.newest = rate
        if rate > self.peak:
            self.peak = rate
        self._peaks.append(self.peak)
        if rate > FADED * self.peak:
            self.faded_step = None
        elif self.faded_step is None and self.peak > 0:
            self.faded_step = step

    def did_well(self) -> None:
        """The loss of this step brought its level to the best so far; that level is the median of rows before it."""
        if self._peaks:
            self.well = self._peaks[0]
