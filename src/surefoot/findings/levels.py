"""Where a loss stands: first level, best level, recent median and noise of one optimiser's loss, kept as rows arrive.

All rules read these numbers and none computes its own, so that two rules never disagree about whether a run learns.
A row costs about a microsecond: medians are over at most 32 values and, in a long run, refreshed every few rows.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW = 32
_EVERY_ROW_UNTIL = 64  # rows; later the medians are refreshed every few rows, at most every 16th
ROUNDING = 2.0**-24  # of a number, half a unit in the last place of float32: what is less leaves it as it is
ORDERS = 100.0  # as many times more, or less at once, is another loss, whatever its scale
_CONSTANT = 0.97
_HALF = 0.5  # of all that was gained
EARLY = 16  # rows in which a run finds its feet: what happens to the loss there may well be over soon


def median(values: list[float]) -> float:
    """Median of a non-empty list; sorts it."""
    values.sort()
    n = len(values)
    return values[n // 2] if n % 2 else 0.5 * (values[n // 2 - 1] + values[n // 2])


class LossLevel:
    """Running statistics of one loss.

    Parameters
    ----------
    inherited : where half of what the stage before had gained is lost, if this loss goes on from one.

    Attributes
    ----------
    first : the first finite loss: what the untrained (or freshly loaded) model scores.
    recent : median of the newest quarter of the rows, at least 3 and at most 32 of them.
    best : the lowest ``recent`` so far; ``peak`` the highest single loss.
    best_noise : ``noise`` at the time of ``best``, not swollen by what came after.
    noise : robust standard deviation (interquartile range / 1.349) of the same newest rows.
    low : lower quartile of the newest rows, so ``low > x`` says that three quarters of them are above ``x``.
    early_size : the largest |loss| of the first 16 rows: what this run calls normal, whichever sign it has.
    lost_step : first step of the newest unbroken stretch in which ``low`` is a hundred times ``best``, else None.
    constant : median of the newest ``constant_loss`` values (loss of the best constant prediction), NaN if unknown.
    negative : a loss below zero was seen, so zero is no lower bound.
    nonfinite_step : first step of the newest unbroken stretch of NaN or infinite losses, else None.
    refreshed : the newest row refreshed the medians.
    marks : steps, an eighth of the run apart, and ``recent`` at each of them.
    """

    __slots__ = (
        "_constants",
        "_due",
        "_shares",
        "_window",
        "best",
        "best_noise",
        "constant",
        "count",
        "early_size",
        "first",
        "first_step",
        "inherited",
        "lost_step",
        "low",
        "marks",
        "negative",
        "newest",
        "newest_step",
        "noise",
        "nonfinite_rows",
        "nonfinite_step",
        "peak",
        "peak_step",
        "recent",
        "refreshed",
    )

    def __init__(self, inherited: float = math.nan) -> None:
        self.count = 0
        self.inherited = inherited
        self.first = self.recent = self.best = self.best_noise = self.noise = self.low = math.nan
        self.newest = self.constant = math.nan
        self.early_size, self.peak = 0.0, -math.inf
        self.first_step = self.newest_step = self.peak_step = 0
        self.negative = self.refreshed = False
        self.nonfinite_step: int | None = None
        self.lost_step: int | None = None
        self.nonfinite_rows = 0
        self.marks: list[tuple[int, float]] = []
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._constants: deque[float] = deque(maxlen=16)
        self._shares: deque[float] = deque(maxlen=8)
        self._due = 0

    def add(self, step: int, loss: float) -> None:
        """Take in the loss of one step; NaN and infinities are counted and kept out of the statistics."""
        self.refreshed = False
        self.newest, self.newest_step = loss, step
        if not -math.inf < loss < math.inf:
            if self.nonfinite_step is None:
                self.nonfinite_step = step
            self.nonfinite_rows += 1
            return
        self.nonfinite_step = None
        self.nonfinite_rows = 0
        self.count += 1
        if self.count == 1:
            self.first, self.first_step = loss, step
        if loss < 0:
            self.negative = True
        if loss > self.peak:
            self.peak, self.peak_step = loss, step
        if self.count <= EARLY and abs(loss) > self.early_size:
            self.early_size = abs(loss)
        self._window.append(loss)
        if self.count >= self._due:
            self._refresh()

    def _refresh(self) -> None:
        n = self.count
        self._due = n + 1 if n < _EVERY_ROW_UNTIL else n + min(16, n // _EVERY_ROW_UNTIL + 1)
        width = min(WINDOW, max(3, n // 4))
        newest = sorted(list(self._window)[-width:])
        k = len(newest)
        self.recent = newest[k // 2] if k % 2 else 0.5 * (newest[k // 2 - 1] + newest[k // 2])
        self.low = newest[k // 4]
        self.noise = (newest[(3 * k) // 4 if k > 3 else k - 1] - self.low) / 1.349
        if not self.recent >= self.best:  # also where best is still NaN
            self.best, self.best_noise = self.recent, self.noise
        if not self.low > ORDERS * self.best > 0:
            self.lost_step = None
        elif self.lost_step is None:
            self.lost_step = self.newest_step
        if not self.marks or 8 * (self.newest_step - self.first_step) >= 9 * (self.marks[-1][0] - self.first_step) + 8:
            self.marks.append((self.newest_step, self.recent))
        self.refreshed = True

    def leaps(self, loss: float) -> bool:
        """This next loss is further above the newest than half of what the highest so far was above the best."""
        return self.count >= EARLY and loss - self.newest > _HALF * (self.peak - self.best)

    def drops(self, loss: float) -> bool:
        """This next loss is a hundredth of the best so far, or less: targets in another unit, say. (Zero has no scale;
        of a loss that was below zero, nothing is a share.)"""
        return self.count >= EARLY and not self.negative and 0 < ORDERS * loss < self.best

    def add_constant(self, constant: float, loss: float = math.nan) -> None:
        """Take in the loss of the best constant prediction, where a look measured it, and the model's on that batch."""
        if -math.inf < constant < math.inf:
            self._constants.append(constant)
            self.constant = median(list(self._constants))
            if constant > 0 and -math.inf < loss < math.inf:
                self._shares.append(loss / constant)

    @property
    def steps(self) -> int:
        """For how many steps the run has been seen, the first and the newest among them, however few rows there are: a
        look at step 64 is one after 64 steps."""
        return self.newest_step - self.first_step + 1 if self.count else 0

    @property
    def known(self) -> bool:
        """The loss is one whose scale is understood: never negative, and it began near what a constant scores.

        A loss function multiplied by returns, summed over outputs or added to other terms fails this test.
        """
        constant = self.constant
        return not self.negative and constant > 0 and 0.3 * constant <= self.first <= 30 * constant

    @property
    def share(self) -> float:
        """The loss over that of the best constant prediction on the same batch, which takes the batch's own luck out:
        the median of the newest eight looks; of fewer than four, the recent level over a constant's."""
        return median(list(self._shares)) if len(self._shares) >= 4 else self.recent / self.constant

    @property
    def as_a_constant(self) -> bool:
        """The loss is no lower than 3 % below what a constant prediction scores, as far as its noise lets one say."""
        return self.share >= _CONSTANT and self.recent + self.uncertainty >= _CONSTANT * self.constant

    @property
    def uncertainty(self) -> float:
        """Two standard errors of ``recent``, as a median of noise."""
        return 2.5 * self.noise / math.sqrt(min(WINDOW, self.count))

    @property
    def learned(self) -> bool:
        """The recent median is below the first level by a tenth of it and by twice the noise."""
        gained = self.first - self.recent
        return gained > 0.1 * abs(self.first) and gained > 2 * self.noise

    @property
    def near_best(self) -> bool:
        """The recent median is no further above the best than twice the noise, of now or of then."""
        return self.recent <= self.best + 2 * max(self.noise, self.best_noise)

    @property
    def falling_to(self) -> float:
        """The median of the newer half of the newest rows, if it is below all of the older half, else NaN: noise alone
        does that once in 800 runs (the lowest 8 of 32 must all be among the newer 16)."""
        half = len(self._window) // 2
        rows = list(self._window)
        newer = median(rows[half:]) if half else math.nan
        return newer if half and newer < min(rows[:half]) else math.nan

    @property
    def stuck(self) -> bool:
        """Nothing was learned, or nothing beyond what a constant prediction scores."""
        if not self.learned:
            return True
        # from far above, a loss that is not down to a constant's yet may be on its way
        near = 5 * self.constant >= self.first or self.recent <= 1.1 * self.constant
        return self.known and near and self.recent >= _CONSTANT * self.constant

    @property
    def at_half(self) -> float:
        """``recent`` as it was when the run was half as long, NaN where no loss is that old."""
        half = (self.first_step + self.newest_step) / 2
        return next((recent for step, recent in reversed(self.marks) if step <= half), math.nan)

    @property
    def base(self) -> float:
        """The level a run must not rise above: its first loss, or what a constant scores where that is higher."""
        return max(self.first, self.constant) if self.known else self.first
