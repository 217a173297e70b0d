"""Where a learning rate stands: its highest value, the one that did well, and since when next to nothing is left."""

from __future__ import annotations

from collections import deque

FADED = 1e-4  # of the highest learning rate: what is left of a schedule that is over
FALLEN = 1e-2  # of the highest: two decades are as much as most schedules take in a whole run
JUMP = 4.0  # so many times what it was is another learning rate
_RAMP = 4  # rows in which a rate rises: a kick is over in fewer
_LAG = 16  # rows: half of those that the level of a loss is the median of


class RateLevel:
    """The learning rate of one optimiser, followed at every row of scalars: schedules move between looks.

    Attributes
    ----------
    newest : the newest rate.
    peak : the largest so far.
    well : the largest until the loss was at its best level: no step at it has undone what was learned.
    faded_step : first step of the unbroken stretch in which the rate is at most 1e-4 of ``peak``, else None.
    fallen_step : the same of 1e-2.
    fell : it was once lower than in the row before.
    ascent_step : first step of the newest unbroken stretch in which the rate is below zero, else None.
    restarts : how often in a row it rose over four rows at least, and was at a quarter at most in the next.
    marks : steps, an eighth of the run apart, and ``worth`` times ``peak`` at each of them.
    """

    __slots__ = (
        "_peaks",
        "_rises",
        "_step",
        "_sum",
        "ascent_step",
        "faded_step",
        "fallen_step",
        "fell",
        "marks",
        "newest",
        "peak",
        "restarts",
        "well",
    )

    def __init__(self) -> None:
        self.newest = self.peak = self.well = self._sum = 0.0
        self.faded_step: int | None = None
        self.fallen_step: int | None = None
        self.ascent_step: int | None = None
        self.restarts = 0
        self.marks: list[tuple[int, float]] = []
        self.fell = False
        self._rises = 0
        self._step = 0
        self._peaks: deque[float] = deque(maxlen=_LAG)

    def add(self, step: int, rate: float) -> None:
        """Take in the rate of one step; steps between two rows count like the later one."""
        self._sum += rate * (step - self._step)
        self._step = step
        if not self.marks or 8 * step >= 9 * self.marks[-1][0] + 8:
            self.marks.append((step, self._sum))
        self.fell |= rate < self.newest
        self._follow(step, rate)
        self.newest = rate
        if rate > self.peak:
            self.peak = rate
        self._peaks.append(self.peak)
        if rate > FADED * self.peak:
            self.faded_step = None
        elif self.faded_step is None and self.peak > 0:
            self.faded_step = step
        if rate > FALLEN * self.peak:
            self.fallen_step = None
        elif self.fallen_step is None and self.peak > 0:
            self.fallen_step = step

    def _follow(self, step: int, rate: float) -> None:
        if rate >= 0:
            self.ascent_step = None
        elif self.ascent_step is None:
            self.ascent_step = step
        if rate < self.newest:
            again = self._rises >= _RAMP and rate <= self.newest / JUMP
            self.restarts = self.restarts + 1 if again else 0
        # a rate that stays has been raised, and rises no more
        self._rises = self._rises + 1 if rate > self.newest > 0 else 0

    @property
    def worth(self) -> float:
        """What all steps so far add up to, in steps at the highest rate."""
        return self._sum / self.peak if self.peak > 0 else 0.0

    def did_well(self) -> None:
        """The loss of this step brought its level to the best so far; that level is the median of rows before it."""
        if self._peaks:
            self.well = self._peaks[0]
