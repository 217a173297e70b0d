"""Where a learning rate stands: its highest value, and since when a schedule has left next to nothing of it."""

from __future__ import annotations

FADED = 1e-4  # of the highest learning rate: what is left of a schedule that is over


class RateLevel:
    """The learning rate of one optimiser, followed at every row of scalars: schedules move between looks.

    Attributes
    ----------
    newest : the newest rate.
    peak : the largest so far.
    faded_step : first step of the unbroken stretch in which the rate is at most 1e-4 of that, else None.
    """

    __slots__ = ("faded_step", "newest", "peak")

    def __init__(self) -> None:
        self.newest = self.peak = 0.0
        self.faded_step: int | None = None

    def add(self, step: int, rate: float) -> None:
        """Take in the rate of one step."""
        self.newest = rate
        if rate > self.peak:
            self.peak = rate
        if rate > FADED * self.peak:
            self.faded_step = None
        elif self.faded_step is None and self.peak > 0:
            self.faded_step = step
