"""``loss-term-imbalance`` by a weight that grows without an end: what the loss asked for at first is undone for it.

A weight that is warmed up grows to where it is meant to be, by the same amount at each step or less: twice as large at
twice the steps. One that is multiplied at each step has no such place. The sum then rises though every step lowers it,
for it is not the same function any more.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.harm import turned_late
from surefoot.findings.history import History
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign
from surefoot.findings.rules.term_cures import drowned_by
from surefoot.findings.turned import Turned, given_back
from surefoot.runs.schema import Evidence, Remedy

GROWN = 4.0  # times at twice the steps: the square of that by an even growth from zero
_UNDONE = 1.5  # times what the error was at its best: the highest of its three lowest readings
_FELL = 0.5  # of its first value: it had been learned
_AS_LOUD = 0.5  # of the error's gradient
_TWICE, _MORE, _HEARD = 2.0, 1.5, 0.1
_LATELY = 3 / 4  # of the steps
_LOOKS = 6
_IN_A_ROW = 1 / 16  # of the steps: looks in a row span less
_HALF_LOST = "half of what it had gained, which the best of the newest quarter of its values is short of"
_HOW = """\
# after: model
def bounded(weight):  # in the place of the weight that grows: loss = error + bounded(weight) * term
    return min(weight, {bound:.3g})
"""


def outgrown(history: History, names: list[str], errors: list[str], cures: tuple[Remedy, ...]) -> Sign | None:
    """One of ``errors``, of a weight that stays, had fallen to half and is back at 1.5 times its best at two looks,
    while another of ``names`` has four times the weight that it had at half of the steps, and half of its gradient or
    more: warning. Or see below: what is printed tells."""
    for error in errors:
        steps, values = history.measured("term_value", error)
        if len(steps) < _LOOKS:
            continue
        best, now = float(np.sort(values)[:3].max()), float(values[-2:].min())
        if not (best <= _FELL * values[0] and now >= _UNDONE * best) or _growth(history, error) > 1.01:
            continue
        for other in names:
            growth = _growth(history, other)
            gradient, own = (_loudness(history, name) for name in (other, error))
            if other == error or not (growth >= GROWN and gradient >= _AS_LOUD * own):
                continue
            weight = history.value("term_weight", other)
            evidence = (
                Evidence("term_weight", other, int(steps[-1]), weight, GROWN * weight / growth,
                         "four times what it was at half of the steps; a warm-up has twice that at most"),
                Evidence("term_value", error, int(steps[-1]), now, _UNDONE * best, "1.5 times its own best"),
            )  # fmt: skip
            cause = (
                f"the weight of {other} grows without an end, {growth:.3g} times in the newest half of the run, to "
                f"{weight:.3g}: {error} was down to {best:.3g} and is back at {now:.3g}."
            )
            began = int(steps[int(np.argmin(values))])
            at, weights = history.measured("term_weight", other)
            return Sign("warning", cause, evidence, (), began, bounds(weights[at <= max(began, at[0])], cures))
    return _overpriced(history, names, cures)


def _overpriced(history: History, names: list[str], cures: tuple[Remedy, ...]) -> Sign | None:
    """The weight of a term has grown to twice what it was when a number that the script prints was best, and grows
    on, with a tenth of the loudest gradient or more, while half of what that number had gained is lost: warning. Of
    the loudest itself 1.5 times is enough, and a quarter that is lost. Or it was 0 until then (see below). What is
    printed has no price in it."""
    given = given_back(history)
    lost = given or turned_late(history)
    if lost is None:
        return None
    loudest = max(_loudness(history, name) for name in names)
    for name in names:
        steps, weights = history.measured("term_weight", name)
        before = np.flatnonzero(steps <= lost.step)
        if not len(before) or 2 * steps[-1] < history.step or not weights[-1] > 0:
            continue
        if not weights[before[-1]] > 0:
            if given is not None and not weights[before].any() and (sign := _switched_on(history, names, name, lost)):
                return sign
            continue
        # between two looks it has grown evenly, or later than that; or in steps, some looks apart
        then, lately = (float(w) for w in np.interp((lost.step, _LATELY * steps[-1]), steps, weights))
        own = _loudness(history, name)
        if given is None and own < loudest:
            continue
        least = (_MORE if own >= loudest else _TWICE) * then
        grows = weights[-1] >= weights.max() and weights[-1] > lately and weights[-1] >= least
        if _arrived(steps, weights) or not (grows and own >= _HEARD * loudest):
            continue
        evidence = (
            Evidence("term_weight", name, int(steps[-1]), float(weights[-1]), least,
                     f"{least / then:g} times that of step {lost.step}, when {lost.name} was best; and it grows on"),
            Evidence("printed_number", lost.name, history.step, lost.now, lost.bound, _HALF_LOST),
        )  # fmt: skip
        cause = (
            f"the weight of {name} grows on, to {weights[-1]:.3g}, and takes back what was learned: {lost.name} was at "
            f"{lost.best:.3g} by step {lost.step}, and is no better than {lost.now:.3g} now."
        )
        return Sign("warning", cause, evidence, (), lost.step, bounds(np.array([weights[0], then]), cures))
    return None


def _switched_on(history: History, names: list[str], name: str, lost: Turned) -> Sign | None:
    """A weight of 0 until a number was best, that has been on since, with half of the loudest gradient at one look or
    more: later a penalty that has won is silent, for what it asks for is there."""
    steps, weights = history.measured("term_weight", name)
    since = steps[np.flatnonzero(weights == 0)[-1] + 1 :]
    at = {other: dict(zip(*history.measured("term_gradient_norm", other), strict=True)) for other in names}
    shares = [at[name].get(step, np.nan) / max(of.get(step, np.nan) for of in at.values()) for step in since]
    loud = [i for i, share in enumerate(shares) if share >= _AS_LOUD]
    if not loud:
        return None
    step = int(since[loud[0]])
    loudest = float(at[name][step] / shares[loud[0]])
    evidence = (
        Evidence("term_gradient_norm", name, step, float(at[name][step]), _AS_LOUD * loudest,
                 f"half of the loudest; its weight was 0 at step {lost.step}, when {lost.name} was best"),
        Evidence("printed_number", lost.name, history.step, lost.now, lost.bound, _HALF_LOST),
    )  # fmt: skip
    cause = (
        f"{name} was given a weight of {weights[-1]:.3g} by step {int(since[0])}, and takes back what was learned "
        f"without it: {lost.name} was at {lost.best:.3g} by step {lost.step}, and is no better than {lost.now:.3g} now."
    )
    return Sign("warning", cause, evidence, (), lost.step, drowned_by(history, name))


def bounds(weights: np.ndarray, others: tuple[Remedy, ...]) -> tuple[Remedy, ...]:
    """The weight may stay what it was when the error was at its best; lower ones may do better."""
    first, last = float(weights[0]), float(weights[-1])
    bound = Remedy(
        name="a bound for the weight",
        why="a weight that is multiplied again and again outgrows all that the loss was meant for; this is what it "
        "was when the error was at its best",
        how=_HOW.format(bound=last),
        apply=f"weight-cap:max={last:.3g}",
    )
    lower = (math.sqrt(first * last), first) if last > first > 0 else ()
    return best_of((bound, *others), *(f"weight-cap:max={weight:.3g}" for weight in lower))


def _arrived(steps: np.ndarray, weights: np.ndarray) -> bool:
    """The weight has stayed the same for more than twice as long as it ever was seen to on its way up: a warm-up's end.

    One that grows by the epoch stays the same for an epoch at a time, and a few looks in a row lie within one.
    """
    risen = np.flatnonzero(np.diff(weights) != 0) + 1  # the first look at each new weight
    if len(risen) < 2:
        return False
    stays = steps[np.append(risen[1:], len(steps)) - 1] - steps[risen]
    return bool(stays[-1] > max(_TWICE * stays[:-1].max(), _IN_A_ROW * steps[-1]))


def _loudness(history: History, name: str) -> float:
    """The newest gradient of a term that was measured, times what its weight has grown by since; NaN if none was."""
    steps, norms = history.measured("term_gradient_norm", name)
    weights = dict(zip(*history.measured("term_weight", name), strict=True))
    if not len(steps):
        return np.nan
    then, now = weights.get(int(steps[-1]), np.nan), list(weights.values())[-1] if weights else np.nan
    return float(norms[-1]) * (now / then if then and then == then else 1.0)


def _growth(history: History, name: str) -> float:
    """How many times the weight of a term is what it was at half of the steps; NaN where it is not known."""
    steps, weights = history.measured("term_weight", name)
    before = np.flatnonzero(2 * steps <= steps[-1]) if len(steps) else steps
    return float(weights[-1] / weights[before[-1]]) if len(before) and weights[before[-1]] > 0 else np.nan
