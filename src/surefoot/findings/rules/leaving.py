"""A generator that had covered the data and goes away from them, further at each look: nobody calls it back.

Two players that go in circles come by again. One whose opponent no longer follows (its rate has faded, its layers are
frozen or dead) runs along a slope that stays as it is, and with it the samples leave the data for good.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.game_cures import cures_of_collapse
from surefoot.runs.schema import Evidence

_COVERED, _LOST = 0.5, 0.3  # of the data: half of them at some look; and what is too few of them
_LOOKS, _APART = 4, 8  # looks that are apart by so many steps
_OUTSIDE, _FURTHER = 1.0, 2.0  # of the data's spread from their mean; times as far as at the first of those looks


def leaves(history: History, name: str) -> Sign | None:
    """At the last four looks the samples cover less than three tenths of the data of which they covered half before,
    and their mean is outside of the data, from look to look further off, by now twice as far: warning."""
    steps, offset = history.measured("generated_offset", name)
    at, coverage = history.measured("coverage", name)
    if len(steps) < _LOOKS or len(at) != len(steps) or steps[-1] != history.step:
        return None
    apart = max(_APART, history.step // 64)
    late = [len(steps) - 1]
    for i in range(len(steps) - 2, -1, -1):
        if len(late) < _LOOKS and steps[late[0]] - steps[i] >= apart:
            late.insert(0, i)
    far, before = offset[late], coverage[: late[0]]
    if len(late) < _LOOKS or not (np.diff(far) > 0).all() or far[1] < _OUTSIDE or far[-1] < _FURTHER * far[0]:
        return None
    if not (coverage[late] < _LOST).all() or not before.max(initial=0.0) >= _COVERED:
        return None
    evidence = (
        Evidence("coverage", name, int(steps[-1]), float(coverage[-1]), _LOST,
                 "one distribution on both sides gives 0.97 (Naeem et al. 2020)"),
        Evidence("generated_offset", name, int(steps[-1]), float(far[-1]), _OUTSIDE, "the data's own spread"),
    )  # fmt: skip
    cause = (
        f"the generator has left the data: its samples covered {100 * before.max():.0f} % of them and cover "
        f"{100 * coverage[-1]:.0f} % now, and their mean is {far[-1]:.3g} times the data's spread off and goes on. "
        "Look whether its discriminator still learns."
    )
    return Sign("warning", cause, evidence, (name,) if name else (), int(steps[late[0]]), cures_of_collapse(history))
