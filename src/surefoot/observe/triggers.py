"""When a burst of looks is called for: the loss turns odd. Emits no finding."""

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
