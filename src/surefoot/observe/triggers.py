"""When a burst of looks is called for: the loss turns odd, or gets nowhere, or is as good as gone. Emits no finding."""

from __future__ import annotations

import math

# A loss this many mean absolute deviations above its running mean is odd. For Gaussian noise that is 6.4 standard
# deviations, once in 10¹⁰ steps; heavy tails come sooner, and a burst costs only looks that are affordable.
ODD_DEVIATIONS = 8.0
_MEMORY = 0.05
_WARM = 10


class LossTrigger:
    """Running mean and mean absolute deviation of the losses it is shown.

    ``limit`` is the loss above which the next one is odd, so that a step which reads nothing else has one comparison to
    make; a NaN is not below it either.
    """

    __slots__ = ("_count", "_deviation", "_mean", "limit")

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        self._count = 0
        self.limit = math.inf

    def learn(self, loss: float) -> None:
        """Take in one loss."""
        if not math.isfinite(loss):
            return
        self._count += 1
        if self._count == 1:
            self._mean = loss
            return
        excess = loss - self._mean
        self._mean += _MEMORY * excess
        self._deviation += max(_MEMORY, 1 / self._count) * (abs(excess) - self._deviation)
        if self._count > _WARM:
            self.limit = self._mean + ODD_DEVIATIONS * self._deviation
        else:
            self.limit = math.inf


_FALLS = 7  # in a row: of noise, one time in 7!
_RISES = 4  # one change in so many at least was a rise before: the loss had noise


class LossFalls:
    """Whether a loss that had noise has lost it: it fell at seven steps in a row, as it does where each step sees the
    same rows again, or rows that are all alike."""

    __slots__ = ("_before", "_changes", "_rises", "_row")

    def __init__(self) -> None:
        self._before = math.nan
        self._changes = self._rises = self._row = 0

    def learn(self, loss: float) -> bool:
        """Take in one loss; whether it is the seventh fall in a row."""
        if not math.isfinite(loss):
            return False
        before, self._before = self._before, loss
        if math.isnan(before):
            return False
        self._changes += 1
        if loss < before:
            self._row += 1
        else:
            self._rises += 1
            self._row = 0
        return self._row == _FALLS and _RISES * self._rises >= self._changes


# A stretch of losses is lower than the one before it if their means differ by so many standard errors.
_ERRORS = 2.0
_FALLEN = 0.1  # of the level at the last call: with a decade less of loss a model is another one
_NEWEST = 0.2  # weight of the newest loss in what the loss is now
_FIRST_END = 32


class LossCourse:
    """Whether the loss goes down from one stretch of the run to the next.

    Stretches end at the steps 32, 48, 64, 96, 128, 192, …, so that each is a third of what the run has lasted by then,
    or a quarter. :meth:`learn` says that looks are called for, if a stretch was no lower than the one before it, beyond
    its noise (a plateau, a rise), or if the loss at its end is a tenth of what it was when it last said so.
    """

    __slots__ = ("_before", "_end", "_level", "_n", "_recent", "_square", "_sum")

    def __init__(self) -> None:
        self._n = 0
        self._end = _FIRST_END
        self._sum = self._square = 0.0
        self._before: tuple[float, float] | None = None  # of the last stretch: mean, and its squared error
        self._level = self._recent = math.nan

    def learn(self, step: int, loss: float) -> bool:
        """Take in one loss; whether a stretch has ended that calls for looks."""
        if not math.isfinite(loss):
            return False
        self._n += 1
        self._sum += loss
        self._square += loss * loss
        self._recent = loss if self._n == 1 else self._recent + _NEWEST * (loss - self._recent)
        if step < self._end:
            return False
        n = self._n
        mean = self._sum / n
        error = max(0.0, self._square / n - mean * mean) / n
        before, self._before = self._before, (mean, error)
        while self._end <= step:
            self._end = self._end // 2 * 3 if self._end & (self._end - 1) == 0 else self._end // 3 * 4
        self._n, self._sum, self._square = 0, 0.0, 0.0
        if before is None:
            self._level = self._recent
            return False
        fallen = 0 < self._recent <= _FALLEN * self._level
        if fallen:
            self._level = self._recent
        return fallen or mean >= before[0] - _ERRORS * math.sqrt(error + before[1])
