"""Whether a run gets anywhere: questions that several rules ask before they condemn something."""

from __future__ import annotations

from surefoot.findings.history import History
from surefoot.findings.levels import EARLY, LossLevel

HOLDS = 4.0
"""A dear reading of what does not learn is good for so many times the steps that it was taken at: two doublings."""


def stuck_for(history: History, steps: int) -> bool:
    """Every loss has been seen for so many steps, and none has learned anything."""
    levels = history.losses.values()
    return bool(levels) and all(level.stuck and level.steps >= steps for level in levels)


def fit(history: History) -> bool:
    """Some loss is down to a tenth of where it began: small gradients are what is left."""
    return any(level.count >= 3 and level.recent < 0.1 * abs(level.first) for level in history.losses.values())


def warming_up(history: History) -> bool:
    """Some optimiser's rate still rises, or it has none yet."""
    return any(
        pace.newest[-1].learning_rate > 1.01 * pace.first[0].learning_rate or not pace.newest[-1].learning_rate > 0
        for pace in history.paces.values()
        if pace.newest
    )


def growing(history: History) -> bool:
    """Some optimiser's gradient is twice its median or more: a plateau that is about to end."""
    norms = [[stride.gradient_norm for stride in pace.newest] for pace in history.paces.values() if pace.newest]
    return any(found[-1] > 2 * sorted(found)[len(found) // 2] for found in norms)


def settled(history: History, level: LossLevel) -> bool:
    """This loss had its first 16 rows, or the run is over: a jump of the first steps that heals by itself, as it does
    where an optimiser does not know its scale yet, is behind it, and what stands now stands."""
    return level.count > EARLY or bool(history.events("exit"))
