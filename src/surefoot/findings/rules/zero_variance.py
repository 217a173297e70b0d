"""``zero-variance-groups``: a policy gradient whose advantages are zero, because a group's rewards are all the same."""

from __future__ import annotations

import numpy as np

from surefoot.analysis.printed_numbers import direction, of_a_reward
from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.findings.turned import given_back
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 4
_MOST, _HALF = 0.75, 0.5  # of all groups
_SURE, _UNSURE = 0.25, 0.5  # of the entropy that the policy began with: two halvings apart, or one
_DECIDED = 0.1  # of that entropy: nothing else is tried
_SOLVED, _VALUES = 0.9, 9  # of all tasks, but a tenth that may have no answer; printed numbers, three a third
_LOST = 0.5  # of what was earned before
_GAINED = 0.1  # of what is left to 1: what still comes
_ALL, _FAR = 0.9, 0.5  # of the reward that there can be; of what an error was at first
_SOURCE = (
    "a group of G rollouts with success rate p has a gradient with probability 1 − pᴳ − (1 − p)ᴳ, which is 0.78 on "
    "average over all p for G = 8"
)
EXPLORE = Remedy(
    name="entropy bonus",
    why="a policy that is too sure of itself tries one thing throughout a group; ten times the usual weight of 0.01, "
    "for there is no other gradient against it",
    how=(
        "# after: model\n"
        "def entropy_bonus(logits, coef=0.1):  # loss = loss - entropy_bonus(logits)\n"
        "    log_probs = logits.log_softmax(-1)\n"
        "    return -coef * (log_probs.exp() * log_probs).sum(-1).mean()\n"
    ),
    apply="entropy-bonus:coef=0.1",
)
SPREAD = Remedy(
    name="rewards that differ within a group",
    why="a group teaches by the differences of its rewards: draw actions where the likeliest one is taken, and give "
    "credit for each part that is right where all or nothing counts (--apply does whichever it meets, else it rewards "
    "entropy)",
    how=(
        "# after: model\n"
        "from torch.distributions import Categorical\n"
        "def draw(logits):  # in the place of logits.argmax(-1), once for each rollout\n"
        "    return Categorical(logits=logits).sample()\n"
        "def credit(right):  # in the place of right.all(-1).float() and of right.prod(-1)\n"
        "    return right.float().mean(-1)\n"
    ),
    apply="spread-rewards",
)
MIXED_GROUPS = Remedy(
    name="leave groups without variance out",
    why="the mean is then over samples that teach something; draw prompts of middling difficulty to fill the batch",
    how=(
        "# after: loss\n"
        "import torch\n"
        "def group_advantages(rewards):\n"
        "    # rewards: (groups, rollouts); also which groups have a gradient\n"
        "    advantages = rewards - rewards.mean(1, keepdim=True)\n"
        "    alive = rewards.amax(1) > rewards.amin(1)\n"
        "    return advantages[alive], alive\n"
    ),
)


@rule("zero-variance-groups", needs=("policy", "printed"))
def zero_variance_groups(history: History) -> Sign | None:
    """Most advantages of the batch are exactly zero, from the first look on.

    Critical where all have been at every look, four at least: there is no gradient at all. Warning where three
    quarters have been at every look, eight at least over 32 steps. Info where half are at the last four looks: a
    policy that has solved its tasks ends so, too, but it does not become unsure again: warning where three quarters
    have been at the last eight looks, over 32 steps, in which the policy's entropy was above half of its first, after
    it had been below a quarter of that: what it tries differs, and earns the same; or was below a tenth, or that reward
    half of what it once was, while a reward that the script prints, between 0 and 1, is below nine tenths and has not
    come nearer to 1 by a tenth of what is left since the middle third of its values; or such a reward is above nine
    tenths, and an error that is printed beside it has stopped at more than half of its first; or half have been at the
    last eight looks, and of what the script prints half of the gain is lost.
    """
    for name in history.wheres("zero_advantage_share"):
        steps, shares = history.series("zero_advantage_share", name)
        seen = np.isfinite(shares)
        steps, shares = steps[seen], shares[seen]
        if len(shares) < _LOOKS or steps[-1] != history.step or not (shares[-_LOOKS:] >= _HALF).all():
            continue
        severity: Severity = "info"
        began = int(steps[-_LOOKS])
        least = float(shares.min())
        if least == 1.0:
            severity, began = "critical", int(steps[0])
        elif least >= _MOST and len(shares) >= 2 * _LOOKS and steps[-1] - steps[0] >= 32:
            severity, began = "warning", int(steps[0])
        elif (since := _taught_nothing(history, steps, shares)) is not None:
            severity, began = "warning", since
        recent = float(np.median(shares[-_LOOKS:]))
        evidence = Evidence("zero_advantage_share", name, int(steps[-1]), recent, _MOST, _SOURCE)
        whole = "all" if least == 1.0 else f"{100 * recent:.3g} %"
        cause = (
            f"{whole} of the advantages that log-probabilities are weighted with are zero: rewards are the same "
            "throughout a group, and such a group has no gradient."
        )
        return Sign(severity, cause, (evidence,), (name,) if name else (), began, (SPREAD, EXPLORE, MIXED_GROUPS))
    return None


def _silent_since(steps: np.ndarray, shares: np.ndarray) -> int | None:
    """The step of the first of the newest looks, where groups teach nothing at all of them."""
    if len(shares) < 2 * _LOOKS or steps[-1] - steps[-2 * _LOOKS] < 32 or shares[-2 * _LOOKS :].min() < _MOST:
        return None
    return int(steps[-2 * _LOOKS])


def _taught_nothing(history: History, steps: np.ndarray, shares: np.ndarray) -> int | None:
    """Since when groups teach nothing though there is more to be learned."""
    known = (
        _unsure_again(history, steps, shares) or _unsolved(history, steps, shares) or _unseen(history, steps, shares)
    )
    return known or _unlearned(history, steps, shares)


def _unlearned(history: History, steps: np.ndarray, shares: np.ndarray) -> int | None:
    """Since when half of the groups teach nothing, of which more did at first, while what the run is for is lost again:
    a policy that has solved its tasks keeps what it gets."""
    half = np.flatnonzero(shares < _HALF)
    if not len(half) or len(shares) - 1 - half[-1] < 2 * _LOOKS or given_back(history) is None:
        return None
    return int(steps[half[-1] + 1])


def _unseen(history: History, steps: np.ndarray, shares: np.ndarray) -> int | None:
    """Since when groups teach nothing because all get the whole reward, whose author measures an error beside it that
    is far from gone and falls no more: the reward does not see what is left of it."""
    since = _silent_since(steps, shares)
    if since is None:
        return None
    paid, left = False, False
    for name in history.wheres("printed_number"):
        _, values = history.measured("printed_number", name)
        if len(values) < _VALUES:
            continue
        _, middle, now = (float(np.median(third)) for third in np.array_split(values, 3))
        if of_a_reward(name) == 1 and values.min() >= 0 and values.max() <= 1:
            paid = paid or min(middle, now) >= _ALL
        elif direction(name) == -1 and values.min() > 0:
            left = left or (now >= _FAR * float(values[0]) and now >= (1 - _GAINED) * middle)
    return since if paid and left else None


def _unsolved(history: History, steps: np.ndarray, shares: np.ndarray) -> int | None:
    """Since when groups teach nothing because the policy has decided, with much that it does not solve, or because
    what is asked of it has run away from what it does."""
    since = _silent_since(steps, shares)
    entropies = [history.measured("policy_entropy", name) for name in history.wheres("policy_entropy")]
    decided = [e for at, e in entropies if len(e) and e[at >= (since or 0)].max(initial=0) < _DECIDED * e[0]]
    if since is None:
        return None
    for name in history.wheres("printed_number"):
        _, values = history.measured("printed_number", name)
        if of_a_reward(name) != 1 or len(values) < _VALUES or values.min() < 0 or values.max() > 1:
            continue
        early, middle, now = (float(np.median(third)) for third in np.array_split(values, 3))
        lost = now <= _LOST * max(early, middle)
        if (decided or lost) and now <= _SOLVED and now - middle <= _GAINED * (1 - middle):
            return since
    return None


def _unsure_again(history: History, steps: np.ndarray, shares: np.ndarray) -> int | None:
    """Since when groups teach nothing although the policy, which had made up its mind before, tries all kinds of
    things: the step of the first of the newest looks of which all are so."""
    since = _silent_since(steps, shares)
    if since is None:
        return None
    for name in history.wheres("policy_entropy"):
        at, entropy = history.measured("policy_entropy", name)
        if not len(entropy) or not entropy[0] > 0:
            continue
        before, after = entropy[at < since], entropy[at >= since]
        if len(before) and len(after) and before.min() < _SURE * entropy[0] and after.min() > _UNSURE * entropy[0]:
            return since
    return None
