"""Whether a run gets anywhere: questions that several rules ask before they condemn something."""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import EARLY, LossLevel
from surefoot.findings.pace import Pace

HOLDS = 4.0
"""A dear reading of what does not learn is good for so many times the steps that it was taken at: two doublings."""

HEARD = 0.9
"""Of a constant's loss: something was made of the inputs."""

_PROMISED, _TENTH, _AGES, _WARM = 0.2, 0.1, 2000, 128


def stuck_for(history: History, steps: int) -> bool:
    """Every loss has been seen for so many steps, and none has learned anything."""
    levels = history.losses.values()
    return bool(levels) and all(level.stuck and level.steps >= steps for level in levels)


def resting(level: LossLevel, left: float = 0.2, slowed: float = 0.9) -> bool:
    """The loss is above a fifth of where it began, or of a constant's, and hardly lower than at half of the run.

    Something may have been learned: an offset, the commonest answer, a first easy part.
    """
    began = min(level.first, level.constant) if level.known else level.first
    return not level.negative and level.recent > left * began and level.recent > slowed * level.at_half


def promised_nothing(level: LossLevel, pace: Pace, step: int, ended: bool) -> tuple[float, float] | None:
    """What all steps together promised of a loss that learned nothing, and the bound that it is below: twice the tenth
    that counts as learned when the run has ``ended``, before (from 128 steps on) so much of it that a tenth would take
    2,000 steps. It bounds what a convex loss can have lost."""
    promised = pace.promised_by(step)
    bound = _PROMISED if ended else _TENTH / _AGES * level.steps
    told = not level.learned and 0 < promised < bound and (ended or level.steps >= _WARM)
    return (promised, bound) if told else None


def had_learned(history: History) -> bool:
    """Some loss whose scale is understood was once a tenth better than a constant's: what the run started from let
    something be made of the inputs, whatever has become of it since."""
    return any(level.known and level.best < HEARD * level.constant for level in history.losses.values())


def one_loss(history: History) -> bool:
    """There is one loss, of one optimiser or of several that share it; adversaries have one each."""
    return len({(level.first, level.newest, level.newest_step) for level in history.losses.values()}) == 1


def fit(history: History) -> bool:
    """Some loss is down to a tenth of where it began, or of a constant's if that is less: small gradients are left.
    Below zero that says nothing."""
    levels = history.losses.values()
    return any(
        v.count >= 3 and not v.negative and v.recent < 0.1 * (min(v.first, v.constant) if v.known else abs(v.first))
        for v in levels
    )


def warming_up(history: History) -> bool:
    """Some optimiser's rate still rises, or it has none yet."""
    return any(pace.rising for pace in history.paces.values())


def growing(history: History) -> bool:
    """Some optimiser's gradient is twice its median or more: a plateau that is about to end."""
    norms = [[stride.gradient_norm for stride in pace.newest] for pace in history.paces.values() if pace.newest]
    return any(found[-1] > 2 * sorted(found)[len(found) // 2] for found in norms)


def units_lost(history: History) -> int | None:
    """The first look at which half of the units of some layer had died or saturated that had not at the start."""
    found = []
    for signal in ("dead_share", "saturated_share"):
        firsts, newest = history.first_layers(signal), history.layers(signal)
        if newest is None or not firsts:
            continue
        for name, share in zip(newest.names, newest.values, strict=True):
            if share >= 0.5 and not firsts[0][name] >= 0.5 * share:
                steps, shares = history.series(signal, name)
                found.append(int(steps[shares >= 0.5][0]))
    return min(found, default=None)


def new_labels(history: History) -> list[tuple[int, int]]:
    """Stretches of steps, from a look to the next, in which labels came that had not been there before."""
    found = []
    for name in history.wheres("label_classes_seen"):
        steps, seen = history.measured("label_classes_seen", name)
        found += [(int(steps[i]) + 1, int(steps[i + 1])) for i in np.flatnonzero(np.diff(seen) > 0)]
    return found


def settled(history: History, level: LossLevel) -> bool:
    """This loss had its first 16 rows, or the run is over: a jump of the first steps that heals by itself, as it does
    where an optimiser does not know its scale yet, is behind it, and what stands now stands."""
    return level.count > EARLY or bool(history.events("exit"))
