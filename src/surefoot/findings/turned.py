"""A number that the script prints has turned: it went one way as the loss fell, and goes back while that falls on.

What its author prints is what the run is for; where validation is computed by hand, it is all that tells of it. Which
way is good the name tells, or else the first way it went: training makes better what is looked at, at first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surefoot.analysis.printed_numbers import direction, held_out
from surefoot.findings.history import History
from surefoot.findings.levels import WINDOW
from surefoot.findings.scatter import scatter

MANY = 12  # of its values since the best
_FEW = 6  # where it is worse than it was at first
_LOST = 0.25  # of what it was better by than its first
_TENTH = 0.1  # of the first of an error
_TWICE = 2.0
_THIRDS, _SAME = 9, 0.999  # values, three of each; shares, but for what printing rounds off
_HALF = 0.5  # of what was gained, in all of the newest quarter


@dataclass(frozen=True)
class Turned:
    """A number that was best at a step, and what it is now: the best of the newest three."""

    name: str
    first: float
    step: int
    best: float
    now: float
    bound: float  # a quarter of what was gained is lost there


def turned(history: History, named: Callable[[str], bool]) -> Turned | None:
    """The first printed number with such a name that has lost a quarter of what it had gained (of an error: or of what
    it was at best, and a tenth of its first), steadily, beyond four times its noise and for twelve values (six, where
    it is as far beyond its first), since a best that lies in the first third of them; while the training loss, of what
    is no policy, is at its best, and has fallen since that. A loss below zero is a density's or a policy's: it is the
    former where the number is a loss of held-out data by its name."""
    if len(history.losses) != 1:
        return None
    ((optimizer, level),) = history.losses.items()
    if told_by_rewards(history):
        return None
    risen = level.recent > _TWICE * level.best > 0  # the noise of a loss that rises is large, too
    if risen or not level.near_best:
        return None
    for name in history.wheres("printed_number"):
        serves = named(name) and (not level.negative or (held_out(name) and direction(name) < 0))
        found = _turned(history, name) if serves else None
        if found is not None and level.recent < trained(history, optimizer, found.step) - level.best_noise:
            return found
    return None


def worse_than_at_first(history: History) -> Turned | None:
    """The first printed number with a known direction that has turned, and is worse than its first value; whatever the
    losses do."""
    for name in history.wheres("printed_number"):
        found = _turned(history, name) if direction(name) else None
        if found is not None and direction(name) * (found.now - found.first) < 0:
            return found
    return None


def told_by_rewards(history: History) -> bool:
    """A policy is trained, of which the loss tells nothing."""
    return any(history.wheres(signal) for signal in ("policy_entropy", "zero_advantage_share"))


def first_way(values: np.ndarray) -> float:
    """Which way a number of unknown kind went at first, 1, −1 or 0: training makes better what is looked at.

    It has gone a way once it has gone a quarter of all that it moved by; before that it may be noise.
    """
    moved = values - values[0]
    far = np.flatnonzero(np.abs(moved) >= _LOST * np.ptp(values))
    return float(np.sign(moved[far[0]])) if len(far) and np.ptp(values) > 0 else 0.0


def _turned(history: History, name: str) -> Turned | None:
    steps, values = history.measured("printed_number", name)
    if len(values) < 3 * _FEW // 2:
        return None
    way = direction(name) or first_way(values)
    bad = -way * values
    at = int(bad.argmin())
    since, gained = len(bad) - 1 - at, float(bad[0] - bad[at])
    # an error tells by its own size what a part of it is, also where most was learned before the first was printed
    sized = direction(name) < 0 and bad[at] > 0
    if 3 * at > len(bad) or not (gained > 0 or sized):
        return None
    much = _LOST * gained
    if sized:
        much = max(_TENTH * float(bad[0]), _LOST * min(float(bad[at]), gained or np.inf))
    noise = scatter(np.diff(bad))
    lost = float(bad[-3:].min() - bad[at])
    undone = at > 0 and lost > gained + max(4 * noise, much)
    if since < (_FEW if undone else MANY):
        return None
    half = at + 1 + since // 2
    steady = np.median(bad[half:]) > np.median(bad[at + 1 : half])
    if not steady or lost <= max(4 * noise, much):
        return None
    best = float(values[at])
    bound = best - float(way) * max(4 * noise, much)
    return Turned(name, float(values[0]), int(steps[at]), best, best - float(way) * lost, bound)


def given_back(history: History, way_of: Callable[[str], int] = direction) -> Turned | None:
    """The first printed number with a known direction (``way_of`` its name) of which, over the newest quarter of its
    values, half of what had been gained is lost: the best of that quarter is below, where the middle of some quarter
    before was above."""
    for name in history.wheres("printed_number"):
        way = way_of(name)
        if not way:
            continue
        steps, values = history.measured("printed_number", name)
        quarter = len(values) // 4
        if quarter < MANY // 2:
            continue
        bad = -way * values
        middles = [float(np.median(bad[i : i + quarter])) for i in range(len(bad) - 2 * quarter + 1)]
        at = int(np.argmin(middles))
        gained = float(np.median(bad[:3])) - middles[at]
        noise = scatter(np.diff(bad))
        now = float(bad[-quarter:].min())
        fallen = bad[at + quarter :][:quarter]  # the first of what came after
        if float(np.median(fallen)) - float(np.median(bad[-quarter:])) > 2 * noise:
            continue  # it climbs again: of a next stage, say, that is harder
        if gained > 2 * noise and now - middles[at] >= _HALF * gained:
            best, bound = -way * middles[at], -way * (middles[at] + _HALF * gained)
            return Turned(name, float(values[0]), int(steps[at + quarter // 2]), best, -way * now, bound)
    return None


def grown(history: History) -> Turned | None:
    """The first printed error of which all of the newest quarter is twice as high as all of the first: it was best as
    the run began, and has come away from there for good. Or of which each third is above the one before, by no smaller
    share than that was, if the same share more is twice as high as all of the first third: such growth has no end."""
    for name in history.wheres("printed_number"):
        steps, values = history.measured("printed_number", name)
        quarter = len(values) // 4
        if direction(name) >= 0 or len(values) < _THIRDS or not values.min() > 0:
            continue
        at = int(values.argmin())
        usual, now = float(values[:quarter].max()), float(values[-quarter:].min())
        if len(values) >= MANY and now >= _TWICE * usual and at < len(values) - 2 * quarter:
            return Turned(name, float(values[0]), int(steps[at]), float(values[at]), now, _TWICE * usual)
        below = _grows_on(values)
        if below is not None:
            return Turned(name, float(values[0]), int(steps[at]), float(values[at]), now, below)
    return None


def _grows_on(values: np.ndarray) -> float | None:
    """The highest of the first third of the values, if the newest third grows on from it as :func:`grown` says."""
    third = len(values) // 3
    first, second, newest = values[:third], values[-2 * third : -third], values[-third:]
    if not (newest.min() > second.max() and second.min() > first.max()):
        return None  # of noise three thirds are in order once in 1,680 times, if they are of three values
    before, now = np.diff(np.log([np.median(part) for part in (first, second, newest)]))
    apart = third / (len(values) - 2 * third)  # the first third may be further from the second than that from the last
    again = float(np.exp(now)) * float(np.median(newest))
    return float(first.max()) if now >= _SAME * apart * before and again >= _TWICE * first.max() else None


def trained(history: History, optimizer: str, step: int) -> float:
    """The training loss around a step: the median of as many rows as :class:`LossLevel` takes, up to it; where they are
    too long ago to be kept, the level as it was marked last before; infinite before the first mark."""
    steps, losses = history.series("loss", optimizer)
    newest = losses[(steps <= step) & np.isfinite(losses)]
    width = min(WINDOW, max(3, len(newest) // 4))
    if len(newest) >= 3:
        return float(np.median(newest[-width:]))
    return next((recent for at, recent in reversed(history.losses[optimizer].marks) if at <= step), np.inf)
