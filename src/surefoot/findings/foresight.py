"""What a series comes to if it goes on as it did: how far ahead, and by which law.

Nothing in a run says how long it will last. Of what has lasted for t steps and is seen at no particular moment, half
lasts for as long again (Gott 1993, Implications of the Copernican principle for our future prospects). So a warning of
something that is not there yet looks ahead as many steps as there have been, and measures how the series went over the
newest half of them: longer would be a guess, shorter a waste.
"""

from __future__ import annotations

import math

import numpy as np


def before(steps: np.ndarray, share: float) -> int | None:
    """The place of the newest step within this share of the run; None where nothing was measured there."""
    early = np.flatnonzero(steps <= share * steps[-1]) if len(steps) else np.empty(0, np.int64)
    return int(early[-1]) if len(early) else None


def at_twice(steps: np.ndarray, values: np.ndarray) -> float:
    """The value at twice the newest step, along the straight line through the newest value and that of half the run
    ago; NaN where there is none. For what is a sum over steps, as a logit is."""
    half = before(steps, 0.5)
    if half is None:
        return math.nan
    return float(values[-1] + (values[-1] - values[half]) * steps[-1] / (steps[-1] - steps[half]))


def at_twice_by_power(steps: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """The same along powers of the step: the least and the most of two, one over the newest half of the run and one
    over its newest quarter, for growth that is about to end shows there first; NaN where a value is not positive. For
    what is multiplied from one octave of steps to the next, as a share or a spread is that grows from next to nothing.
    """
    found = []
    for share in (0.5, 0.75):
        place = before(steps, share)
        if place is None or not (values[place] > 0 and values[-1] > 0):
            return math.nan, math.nan
        power = math.log(values[-1] / values[place]) / math.log(steps[-1] / steps[place])
        found.append(float(values[-1] * 2.0**power))
    return min(found), max(found)
