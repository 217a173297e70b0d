"""The cures of steps that are too long: which rate instead, and what else makes steps shorter."""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.rates import JUMP
from surefoot.runs.schema import Remedy

_MUCH, GOOD_STEP = 0.5, 0.2  # overshoot of a first step
_ROOM = 0.1  # of the curvature that a rate can stand: it grows in training until it is there (Cohen et al. 2021)


def slower(history: History, name: str, factor: float) -> Remedy:
    """No higher rate than the run went well with, where a rise to four times that undid it; else the script's own rate
    over ``factor``, for all of the run."""
    rate, level = history.rates.get(name), history.losses.get(name)
    if rate is not None and level is not None and rate.peak >= JUMP * rate.well > 0:
        gained = level.first - level.best
        if gained > 0.1 * abs(level.first) and gained > 2 * level.best_noise:
            return remedies.cap_rate(rate.well)
    return remedies.lower_rate(factor)


def shortened(
    history: History, name: str, factor: float, bounded: Remedy, early: bool = False, rate_first: bool = True
) -> tuple[Remedy, ...]:
    """All that makes steps shorter: a lower rate, a bound (``bounded``), a warm-up where harm came ``early``.

    Which of them it was the script itself tells under ``--apply``: one rate for all of the run may be too low where
    only its first steps, or only a few units' gradients, were too long.
    """
    rate = slower(history, name, factor)
    first = (rate, bounded) if rate_first else (bounded, rate)
    ways = (*first, remedies.WARM_UP) if early else first
    others = [remedies.AGC.apply, remedies.CLIP.apply]
    if not str(rate.apply).startswith("lr-search"):
        others.append(remedies.lower_rate(factor).apply)
    return remedies.best_of(ways, *filter(None, others))


def of_descent(history: History, name: str) -> float | None:
    """By how much the rate of gradient descent is too high, as the first steps show it: later ones promise what a
    blow-up has made of gradient and loss. None for optimisers that divide the gradient by its size.

    A good first step overshoots by a fifth at most, under momentum β by (1 − β)/5, for it comes again 1/(1 − β) times;
    and it has a tenth of the curvature that its rate can stand. Where both were measured it is their geometric mean.
    """
    level, pace = history.losses.get(name), history.paces.get(name)
    defaults = history.optimizer(name).get("defaults", {})
    if level is None or pace is None or not pace.first or "momentum" not in defaults or "eps" in defaults:
        return None
    first = pace.first[0]
    if first.step > level.first_step + 1 or not first.overshoot >= _MUCH:
        return None
    by_promise = first.overshoot / (GOOD_STEP * max(0.01, 1 - float(defaults["momentum"])))
    losses = dict(zip(*history.series("loss", name), strict=True))
    steps, curved = history.series("stability_coefficient", name)
    known = np.flatnonzero(np.isfinite(curved) & (curved > 0))
    if not len(known) or not losses.get(steps[known[0]], math.inf) <= 2 * level.base:
        return by_promise
    return math.sqrt(by_promise * float(curved[known[0]]) / _ROOM)
