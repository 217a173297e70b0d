"""When a burst of looks is called for: the loss, read at every step, turns odd. Emits no finding."""

from __future__ import annotations

import math

# A loss this many mean absolute deviations above its running mean is odd. For Gaussian noise it is 6.4 standard
# deviations, once in 10¹⁰ steps; heavy tails come sooner, and a burst costs only looks that are affordable.
ODD_DEVIATIONS = 8.0
_MEMORY = 0.05
_WARM = 10


class LossTrigger:
    """Running mean and mean absolute deviation of one loss; a few floating-point operations a step."""

    __slots__ = ("_count", "_deviation", "_mean")

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        self._count = 0

    def odd(self, loss: float) -> bool:
        """Take in the next loss; whether it is far above its own past, or not finite."""
        if not math.isfinite(loss):
            return True
        self._count += 1
        if self._count == 1:
            self._mean = loss
            return False
        excess = loss - self._mean
        odd = self._count > _WARM and excess > ODD_DEVIATIONS * self._deviation
        self._mean += _MEMORY * excess
        self._deviation += max(_MEMORY, 1 / self._count) * (abs(excess) - self._deviation)
        return odd
