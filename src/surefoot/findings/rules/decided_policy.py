"""A policy that has stopped to try anything, where what was best no longer is: a part of ``softmax-collapse``.

The gradient of a policy comes from what it samples. One that always takes the same action has advantages of that action
alone, and its gradient is zero whatever the reward has become.
"""

from __future__ import annotations

from surefoot.analysis.printed_numbers import of_a_reward
from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.zero_variance import EXPLORE
from surefoot.findings.stretches import unbroken_from
from surefoot.findings.turned import given_back
from surefoot.runs.schema import Evidence

_LOOKS = 3
_DECIDED = 0.01
_SOURCE = "a hundredth of its highest: of two actions the other is tried once in 300 times"


def decided_policy(history: History) -> Sign | None:
    """The policy's entropy is a hundredth of its highest, has been for three looks, and half of what a printed reward
    had gained is lost since. A policy that has found what is best may well be so sure: it loses nothing."""
    for name in history.wheres("policy_entropy"):
        steps, entropy = history.measured("policy_entropy", name)
        bound = _DECIDED * float(entropy.max()) if len(entropy) else 0.0
        if len(entropy) < _LOOKS or not entropy[-_LOOKS:].max() <= bound:
            continue
        began, lost = int(steps[unbroken_from(entropy <= bound)]), given_back(history, of_a_reward)
        if lost is None:
            continue
        evidence = (
            Evidence("policy_entropy", name, int(steps[-1]), float(entropy[-1]), bound, _SOURCE),
            Evidence(
                "printed_number", lost.name, history.step, lost.now, lost.bound, "half of what was gained is lost"
            ),
        )
        cause = (
            f"the policy has decided: its entropy is {entropy[-1]:.2g} nats, of {entropy.max():.2g} once, so that it "
            f"tries nothing else, while {lost.name} went from {lost.best:.3g} to {lost.now:.3g}."
        )
        return Sign("warning", cause, evidence, (name,) if name else (), began, (EXPLORE,))
    return None
