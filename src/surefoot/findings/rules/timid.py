"""Steps that could be ten times as long: one way of ``learning-rate-too-low``, that of a run that learns all the same.

To first order a step moves along the gradient's path, and its length is the time that passes there. Where neither the
promise of a step nor the curvature bounds it, one that is ten times as long goes ten times as far, and what that would
be worth the loss itself tells: how it fell from half of the run to its end it would fall 3.3 times again (a power law,
the slowest fall there is: an exponential one would fall faster).
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import EARLY, LossLevel
from surefoot.findings.pace import STIRRED, Pace
from surefoot.findings.progress import one_loss
from surefoot.findings.rules.clipping import clipped
from surefoot.findings.slower import GOOD_STEP
from surefoot.findings.start import as_drawn

BENDS = 2e-3
_LONG = 128  # steps
TIMES = 10.0
_FIFTY = 50.0  # such steps would still have five times the room
_HUNDRED = 100.0  # two decades: no noise in a look at curvature or promise is so large
_BEGUN, _HALF, _HALVED = 0.8, 0.5, math.log(2)
_QUARTER, _FIFTH = 0.25, 0.2
_GAIN, _SURE_GAIN = 2 / 3, 1 / 3  # the latter where the promise alone tells of the room
_ABOVE, _THERE = 1.05, 1.01  # of a constant's loss
_FRESH = (math.sqrt(0.5), 1.0)
_FLAT_SOURCE = (
    "curvature over what the optimizer can stand (2/λ): ten times as long, a step would be far below it and below "
    "Polyak's bound, and all steps so far promised less than half of the loss"
)
_HALVED_SOURCE = (
    "ln 2: each step promises a share of the loss that it finds, so that all together cannot have halved a convex one; "
    "and steps ten times as long would have been good ones"
)
_FAR_SOURCE = (
    "curvature over what the optimizer can stand (2/λ): training sharpens a loss until it is near there (Cohen et al. "
    "2021); the run is over a five-hundredth of the way, and its steps promised less than a tenth of a good one"
)
_AHEAD_SOURCE = (
    "the loss after ten times the steps over that at the end, if it falls on as it did in the newer half: steps ten "
    "times as long would be as far, and still five times below what promise and curvature allow"
)
_ROOM_SOURCE = (
    "so many times as long a step would still be a good one, by its promise and by the curvature of all looks: here a "
    "hundred times, and more than half of the loss is left"
)
_Found = tuple[str, float, float, str]


def timid(history: History, name: str, level: LossLevel, pace: Pace, ended: bool) -> _Found | None:
    """The run began from nothing, neither ε nor clipping nor a schedule has made its steps short, and

    * curvature is a five-hundredth of what the optimizer can stand; weights moved by less than a tenth of their size,
      and all steps promised less than half of the loss, of which more is left: from 128 steps on, if anything was
      learned (before, it may be a saddle that is flat); or
    * the run is over, and its steps promised less than ln 2 of the loss, of which more than half is left; weights moved
      as little, or no more than their own size while the loss was still falling; curvature, if known, allows for ten
      times the rate; or
    * the run is over, curvature never came to a five-hundredth of what the optimizer can stand, no step promised a
      tenth of a good one, and above a fifth is left of a loss that fell or still falls; or
    * the run is over, promise and curvature (if known) would allow fifty times the rate, the loss is above a fifth of
      where it began, and falls so that ten times the steps would bring it down by a third (by two, if curvature is not
      known); or they would allow a hundred times, and more than half of the loss is left, which falls (what starts at a
      saddle speeds up: it is no power law).
    """
    if level.negative or level.steps < _LONG or not one_loss(history) or _shortened(history, name):
        return None
    if not _from_nothing(history, level):
        return None
    steps, curved = history.measured("stability_coefficient", name)
    curved = curved[steps > EARLY]  # those of an optimiser that does not know its scale yet are too high
    bends = float(curved.max()) if len(curved) else math.nan
    began = min(level.first, level.constant) if level.known else level.first
    left, promised, moved = level.recent / began, pace.promised_by(history.step), pace.moved_by(history.step)
    longest = max(s.overshoot for s in pace.newest)
    if moved >= STIRRED and _at_a_constant_long_since(level):
        return None
    if (ended or level.learned) and len(curved) >= 2 and bends < BENDS and moved < STIRRED:
        newest = max(s.overshoot for s in pace.last(4))
        if left > _HALF and 0 < promised < _HALF and TIMES * newest <= GOOD_STEP:
            return "stability_coefficient", bends, BENDS, _FLAT_SOURCE
    if not ended or not 0 < TIMES * longest <= GOOD_STEP or TIMES * bends > _HALF or not _kept_up(history, name):
        return None
    falls = level.at_half - level.recent > level.uncertainty
    room = 1 / max(longest / GOOD_STEP, bends / _HALF if len(curved) else 0.0)
    if left > _HALF and 0 < promised < _HALVED and (moved < STIRRED or (moved < 1 and falls)):
        return "Σ predicted_decrease / loss", promised, _HALVED, _HALVED_SOURCE
    if left > _FIFTH and len(curved) >= 2 and bends < BENDS and (falls or level.learned):
        return "stability_coefficient", bends, BENDS, _FAR_SOURCE
    if left > _HALF and room >= _HUNDRED and falls:
        return "good step / step", room, _HUNDRED, _ROOM_SOURCE
    if left > _FIFTH and room >= _FIFTY and falls and moved < 1:
        at = next(step for step, recent in reversed(level.marks) if recent == level.at_half)
        ahead = (level.recent / level.at_half) ** (math.log(TIMES) / math.log(level.newest_step / at))
        least = _GAIN if len(curved) >= 2 else _SURE_GAIN
        if ahead <= least:
            return "loss after ten times the steps / loss", ahead, least, _AHEAD_SOURCE
    return None


def _at_a_constant_long_since(level: LossLevel) -> bool:
    """The loss came down to a constant's in the older half, and to no more: the rate was high enough for what there was
    to be learned of no input."""
    if not level.known or level.first < _ABOVE * level.constant:
        return False
    return max(level.at_half, level.recent) <= _THERE * level.constant


def _from_nothing(history: History, level: LossLevel) -> bool:
    """What it starts from has learned nothing: a fine-tune may step as it likes. The loss began where a constant's is;
    where that is not known, it is no later stage, and all normalisations stood at 1 at the first look, and some are
    there, or weights were as torch draws them."""
    if level.known:
        return level.first >= _BEGUN * level.constant
    if level.first_step > EARLY:
        return False
    if not level.learned:
        return True
    firsts = history.first_layers("weight_rms")
    if not firsts or firsts[0].step > level.first_step + 1 or math.isfinite(level.inherited):
        return False
    norms = firsts[0].values[history.of_type(firsts[0].names, ("norm",))]
    norms = norms[np.isfinite(norms)]
    untouched = bool(len(norms)) and all(min(abs(v - fresh) for fresh in _FRESH) < 1e-3 for v in norms)
    return untouched or as_drawn(history)


def _kept_up(history: History, name: str) -> bool:
    """Its rate was on average a quarter of its highest or more: it is not the schedule that left nothing."""
    rate = history.rates.get(name)
    return rate is None or rate.worth >= _QUARTER * history.step


def _shortened(history: History, name: str) -> bool:
    """It is ε that decides how long most steps are, or clipping where nothing divides it out again."""
    factor = history.layers("epsilon_factor")
    if factor is not None and np.isfinite(factor.values).any():
        return bool(np.nanmedian(factor.values) < _HALF)
    return len(clipped(history, name)[0]) > 0
