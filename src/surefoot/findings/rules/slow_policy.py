"""Steps too short for a policy: one way of ``learning-rate-too-low``, where no loss tells how far a run has come.

The loss of a policy gradient promises nothing (its value is noise about zero). What tells is the policy: it has hardly
decided anything, what it earns was rising faster and faster, and there the run ended.
"""

from __future__ import annotations

import numpy as np

from surefoot.analysis.printed_numbers import of_a_reward
from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.pace import STIRRED
from surefoot.findings.rule import Sign
from surefoot.findings.scatter import scatter
from surefoot.runs.schema import Evidence

_STEPS, _VALUES = 128, 9  # values: three a third
_UNDECIDED = 0.5  # of the entropy it began with
_NOISES = 2.0
_SOURCE = (
    "a tenth of their size, at the end of a run whose policy has kept half of its first entropy, and whose result rose "
    "by no less in the last third than in the one before"
)


def slow_policy(history: History) -> Sign | None:
    """The run is over after 128 steps or more; the policy has half of its first entropy left, weights moved by less
    than a tenth of their size, and a printed number gained in its last third as much as in the one before, beyond twice
    its noise: warning. What is fine-tuned, or has nothing to learn, gains less and less."""
    if not history.events("exit") or history.step < _STEPS:
        return None
    for name, pace in history.paces.items():
        first = next((layers[name] for layers in history.first_layers("policy_entropy") if layers[name] > 0), 0.0)
        _, entropy = history.measured("policy_entropy", name)
        moved = pace.moved_by(history.step)
        if not first > 0 or len(entropy) < 3 or np.median(entropy[-3:]) < _UNDECIDED * first or not 0 < moved < STIRRED:
            continue
        gaining = _gains_more(history)
        if gaining is None:
            continue
        cause = (
            f"the learning rate is too low: {history.step} steps moved the weights of the policy by "
            f"{100 * moved:.2g} % of their size in all, and when the run ended {gaining} was rising as fast as ever."
        )
        evidence = Evidence("Σ update_norm / weight_norm", name, history.step, moved, STIRRED, _SOURCE)
        return Sign(
            "warning", cause, (evidence,), (name,) if name else (), None, (remedies.raise_rate(STIRRED / moved),)
        )
    return None


def _gains_more(history: History) -> str | None:
    """The first printed number that gains in its last third no less than in the second, beyond its noise."""
    for name in history.wheres("printed_number"):
        _, values = history.measured("printed_number", name)
        third = len(values) // 3
        if not of_a_reward(name) or len(values) < _VALUES:
            continue
        good = of_a_reward(name) * values
        changes = np.diff(good)
        noise = scatter(changes, about=float(changes.mean()))  # the median of swings is one of their ends
        before, now = np.diff([np.median(good[:third]), np.median(good[third:-third]), np.median(good[-third:])])
        if now >= before > 0 and now > _NOISES * noise:
            return name
    return None
