"""A policy that has stopped to try anything, though there is more to be had: a part of ``softmax-collapse``.

The gradient of a policy comes from what it samples. One that always takes the same action has advantages of that action
alone, and its gradient is zero whatever the reward is, or has become.
"""

from __future__ import annotations

from functools import partial

from surefoot.analysis.printed_numbers import direction, of_a_reward, of_the_result
from surefoot.findings.history import History
from surefoot.findings.remedies import best_of, lower_rate
from surefoot.findings.rule import Sign
from surefoot.findings.rules.zero_variance import EXPLORE
from surefoot.findings.stretches import unbroken_from
from surefoot.findings.turned import first_way, given_back
from surefoot.runs.schema import Evidence, Remedy

_LOOKS = 3
_DECIDED, _HALVED = 0.01, 2.0**-5
_SOON, _LASTS = 16, 64  # steps
_VALUES = 6  # printed: of noise three are no higher than the first once in four times, but that policies learn
_SOURCE = "a hundredth of its highest: of two actions the other is tried once in 300 times"
_TRUSTED = (
    "a 32nd of its first: to get there in 16 steps a policy of eight actions changes by an eighth of a nat in each, "
    "six times what trust regions let it (0.01 to 0.02; Schulman et al. 2017, arXiv 1707.06347)"
)


BASELINE = Remedy(
    name="advantages in the place of rewards",
    why="a reward that is never negative makes likelier whatever was tried; against the batch's mean, and in units of "
    "its deviation, it says what was better",
    how=(
        "# after: model\n"
        "def advantages(rewards):  # in the place of the rewards that log-probabilities are multiplied by\n"
        "    return (rewards - rewards.mean()) / (rewards.std() + 1e-6)\n"
    ),
    apply="baseline",
)


def decided_policy(history: History) -> Sign | None:
    """A policy that tries nothing else, for no good reason: it decided at once, or what it earned has been lost since,
    or never was more."""
    return _at_once(history) or _for_nothing(history)


def _at_once(history: History) -> Sign | None:
    """The entropy has been five times halved within 16 steps, and has stayed so since, to step 64: a few batches have
    decided what all that come were to tell."""
    for signal in ("policy_entropy", "weighted_choice_entropy"):
        for name in history.wheres(signal):
            first = next((layers[name] for layers in history.first_layers(signal) if layers[name] > 0), 0.0)
            steps, entropy = history.measured(signal, name)
            if not first > 0 or len(entropy) < _LOOKS or steps[-1] < _LASTS or steps[0] > _SOON:
                continue
            low = entropy <= _HALVED * first
            at = unbroken_from(low)
            if at >= len(steps) or steps[at] > _SOON:
                continue
            evidence = (Evidence(signal, name, int(steps[-1]), float(entropy[-1]), _HALVED * first, _TRUSTED),)
            cause = (
                f"the policy had decided by step {steps[at]}: its entropy is {entropy[-1]:.2g} nats since, of "
                f"{first:.2g} at first, so that it tries nothing else, and nothing is left to learn from."
            )
            where = (name,) if name else ()
            return Sign("warning", cause, evidence, where, int(steps[at]), _cures(signal))
    return None


def _cures(signal: str) -> tuple[Remedy, ...]:
    """Of rewards without a baseline it is that; else steps, or no reason to try anything."""
    if signal == "weighted_choice_entropy":
        return (BASELINE, lower_rate(10.0), EXPLORE)
    return (*best_of((lower_rate(10.0), EXPLORE)), BASELINE)


def _for_nothing(history: History) -> Sign | None:
    """The policy's entropy is a hundredth of its highest, has been for three looks, and half of what a printed reward
    had gained is lost since; or the reward, as it was printed before that, was no less than all of the newest half of
    what is printed. A policy that has found what is best may well be so sure: it has gained, and loses nothing."""
    for name in history.wheres("policy_entropy"):
        steps, entropy = history.measured("policy_entropy", name)
        bound = _DECIDED * float(entropy.max()) if len(entropy) else 0.0
        if len(entropy) < _LOOKS or not entropy[-_LOOKS:].max() <= bound:
            continue
        began = int(steps[unbroken_from(entropy <= bound)])
        lost = given_back(history, of_a_reward) or given_back(history, partial(_first_way, history))
        if lost is not None:
            reward, best, now, limit, source = lost.name, lost.best, lost.now, lost.bound, "half of it is lost"
        elif (flat := _never_more(history, began)) is not None:
            reward, best, now, limit, source = *flat, flat[1], "what it was before the policy had decided"
        else:
            continue
        evidence = (
            Evidence("policy_entropy", name, int(steps[-1]), float(entropy[-1]), bound, _SOURCE),
            Evidence("printed_number", reward, history.step, now, limit, source),
        )
        cause = (
            f"the policy has decided: its entropy is {entropy[-1]:.2g} nats, of {entropy.max():.2g} once, so that it "
            f"tries nothing else, while {reward} went from {best:.3g} to {now:.3g}."
        )
        # where the script prints what tells how good it is, --apply finds how much has to be made up for
        more = ("entropy-bonus:coef=0.4", "lr-search:factor=0.1") if direction(reward) else ()
        return Sign("warning", cause, evidence, (name,) if name else (), began, best_of((EXPLORE,), *more))
    return None


def _first_way(history: History, name: str) -> int:
    """The way that a printed number of unknown kind went at first, or 0: training makes better what is looked at."""
    _, values = history.measured("printed_number", name)
    if of_a_reward(name) or not of_the_result(name) or not len(values):
        return 0
    return int(first_way(values))


def _never_more(history: History, decided: int) -> tuple[str, float, float] | None:
    """Name, first and best newest value of a printed reward that gained nothing by the policy's decision; None where
    another one has."""
    idle = None
    for name in history.wheres("printed_number"):
        steps, values = history.measured("printed_number", name)
        if of_a_reward(name) != 1 or len(values) < _VALUES or not steps[0] < decided:
            continue
        newest = values[len(values) // 2 :]
        if newest.max() > values[0]:
            return None
        idle = idle or (name, float(values[0]), float(newest.max()))
    return idle
