"""``loss-term-imbalance`` of a policy's loss: what rewards say is drowned by the value's error, or by an entropy bonus.

A policy gradient is of the order of the log-probabilities' own, for advantages are of order one or brought to it. The
error of a value is of the size of returns squared: in the layers that both share, it may be all there is. A bonus for
entropy has its zero where the policy is uniform; a weight at which it holds the policy there leaves rewards nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.analysis.printed_numbers import of_a_reward
from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.term_cures import kind_of, weighed
from surefoot.runs.schema import OWN_WEIGHT, Evidence

_DROWNED = 0.01  # Wang, Teng, Perdikaris 2021; of 12 policies that learn the terms had 0.17 of the largest or more
_LOOKS, _STEPS = 6, 100  # 1/_DROWNED steps
_THIRDS = 9  # values of a reward, three of each
_OPS = ("mul", "minimum", "maximum", "stack")  # weighted log-probabilities, clipped ratios, a loop over time
_UNDECIDED, _UNIFORM, _AS_LOUD = 0.9, 0.97, 0.5  # of its highest entropy, without a reward; of the policy's gradient
_USUAL = 0.01  # of a weight at which a bonus is all there is: as usual, where advantages are of order one


@dataclass(frozen=True)
class _Reward:
    """A printed reward, and whether nothing was gained."""

    shown: Evidence
    idle: bool


def policy_drowned(history: History, names: list[str], errors: list[str]) -> Sign | None:
    """A term of weight 1 or −1, a mean of products or of a loop's terms, where log-probabilities are weighted by
    advantages, and a printed reward that is no better in the newest third of its values than in the first: over 100
    steps and six looks of the newest three quarters its gradient, where it meets one of ``errors``, is a hundredth of
    that; or another term's is half as large as its own or larger, and the policy's entropy has not left nine tenths of
    its highest (0.97 of it where no reward is printed)."""
    told = [name for signal in ("zero_advantage_share", "policy_entropy") for name in history.wheres(signal)]
    policies = [name for name in names if name not in errors and _of_the_policy(history, name)]
    products = [name for name in policies if not kind_of(name).endswith("stack")]
    policies = products or policies  # what is stacked beside them is what a loop kept of entropies
    if not told or len(policies) != 1:
        return None
    [policy], reward = policies, _reward(history)
    loud = [name for name in names if name != policy]
    if reward is not None and not reward.idle:
        return None
    sign = None if reward is None else _by_the_value(history, policy, [n for n in loud if n in errors], reward)
    return sign or _by_the_bonus(history, policy, [n for n in loud if n not in errors], reward)


def _of_the_policy(history: History, name: str) -> bool:
    return kind_of(name).rpartition("_")[2] in _OPS and abs(history.value("term_weight", name)) >= OWN_WEIGHT


def _by_the_value(history: History, policy: str, errors: list[str], reward: _Reward) -> Sign | None:
    for error in errors:
        steps, own, theirs = _norms(history, "term_shared_norm", policy, error)
        if not _enough(steps) or not (own > 0).all():
            continue  # no layer is shared
        ratio = own / theirs
        if not (ratio <= _DROWNED).mean() >= 0.8:
            continue
        middle = float(np.median(ratio))
        source = f"a hundredth of that of {error} in the same layers (Wang, Teng, Perdikaris 2021)"
        limit = float(_DROWNED * theirs[-1])
        evidence = Evidence("term_shared_norm", policy, int(steps[-1]), float(own[-1]), limit, source)
        cause = (
            f"the gradient of {error} drowns that of the policy's term {policy}, which is {1 / middle:.3g} times "
            f"smaller in the layers that both share: what they compute is the value's, and {reward.shown.where} stays."
        )
        return Sign("warning", cause, (evidence, reward.shown), (), int(steps[0]), (weighed(middle, error),))
    return None


def _by_the_bonus(history: History, policy: str, others: list[str], reward: _Reward | None) -> Sign | None:
    for name in history.wheres("policy_entropy"):
        steps, entropy = history.measured("policy_entropy", name)
        least = (_UNDECIDED if reward is not None else _UNIFORM) * float(entropy.max(initial=0))
        entropy = entropy[4 * steps >= history.step]
        if len(entropy) < _LOOKS or not entropy.min() >= least > 0:
            continue
        for bonus in others:
            at, own, theirs = _norms(history, "term_gradient_norm", policy, bonus)
            if len(at) < 3 or history.step - at[0] < _STEPS or not (theirs >= _AS_LOUD * own).mean() >= 0.8:
                continue
            evidence = (
                Evidence("term_gradient_norm", bonus, int(at[-1]), float(theirs[-1]), float(_AS_LOUD * own[-1]),
                         f"half of that of the policy's term {policy}, though a bonus is nothing at its own best"),
                Evidence("policy_entropy", name, int(steps[-1]), float(entropy[-1]), least,
                         "a share of its highest: the policy prefers next to nothing"),
            )  # fmt: skip
            with np.errstate(divide="ignore"):
                louder = float(np.median(theirs / own))
            cause = (
                f"{bonus} holds the policy where all actions are alike: its gradient is "
                f"{louder:.2g} times that of {policy}, the entropy stays at {entropy[-1]:.3g} "
                f"nats{'' if reward is None else f', and {reward.shown.where} does not rise'}."
            )
            shown = () if reward is None else (reward.shown,)
            return Sign("warning", cause, (*evidence, *shown), (), int(at[0]), (weighed(_USUAL, bonus),))
    return None


def _norms(history: History, signal: str, one: str, other: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps and both terms' norms at looks that measured them, but for those of the first quarter of the run."""
    steps, (own, theirs) = history.together((signal, one), (signal, other))
    steps, own, theirs = steps[theirs > 0], own[theirs > 0], theirs[theirs > 0]
    late = 4 * steps >= history.step
    if late.sum() < _LOOKS:
        late = np.arange(len(steps)) >= len(steps) - _LOOKS
    return steps[late], own[late], theirs[late]


def _enough(steps: np.ndarray) -> bool:
    return len(steps) >= _LOOKS and int(steps[-1] - steps[0]) >= _STEPS


def _reward(history: History) -> _Reward | None:
    """The first printed reward; idle if the middle of its newest third is no better than that of its first, beyond what
    single values scatter by."""
    for name in history.wheres("printed_number"):
        steps, values = history.measured("printed_number", name)
        if of_a_reward(name) != 1 or len(values) < _THIRDS:
            continue
        first, _, newest = (float(np.median(third)) for third in np.array_split(values, 3))
        noise = 1.4826 * float(np.median(np.abs(np.diff(values)))) / 2**0.5
        source = "the middle of its first third: nothing was gained beyond what it scatters by"
        shown = Evidence("printed_number", name, int(steps[-1]), newest, first, source)
        return _Reward(shown, newest - first <= 2 * noise)
    return None
