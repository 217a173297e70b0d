"""``learning-rate-too-low``: steps so short that the weights stay where they began, of a gradient that is there.

The mirror image of ``learning-rate-too-high``: the weights would need tens of thousands of steps to move by their own
size, the gradient is there (elasticity ‖g‖‖θ‖/L of order one), and the loss has not moved beyond its noise. Two bounds
hold at any scale: a convex loss loses no more than its steps promise to first order, so that steps that together
promise next to nothing have taught nothing; and where the steepest direction of the loss bends by a thousandth of what
would make the step overshoot (Cohen et al. 2021), it could be a hundred times longer in every direction.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.pace import SMALL_PROMISE, STIRRED, Pace
from surefoot.findings.progress import one_loss, promised_nothing, resting
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.slow_policy import slow_policy
from surefoot.findings.rules.timid import BENDS, TIMES, timid
from surefoot.runs.schema import Evidence

_MIN_ROWS = 4
_MIN_STEPS, _WARM = 48, 128
_GAINED = 0.05
_SLOW = 2e-5
_RESTS = 0.95
_NOISY = 0.5
_NEWEST = 0.75  # of the steps: a warm-up by lines or curves still rises by more than 1 % in the rest
_STAGE = 100.0  # times its rate had the one before: no stage of a schedule is two decades below
_NEVER_SOURCE = (
    "for a convex loss no step takes away more than it promised to first order; a tenth is what counts as learned: all "
    "steps of the run promised less than twice that, or so far less than one 2,000th of it a step"
)
_BENDS_SOURCE = "curvature over what the optimizer can stand (2/λ): at a five-hundredth no step has come to its valley"
_BEHIND_SOURCE = (
    "half of the logarithm of the loss over a constant prediction's, or over what would be half of the gain of the "
    "stage before: what all steps of this stage promised, whose rate is a hundredth of that one's, does not bring its "
    "loss down to there in twice as many"
)
_WARMED_SOURCE = (
    "a tenth of their size: the run is over, its rate was still rising, and the loss no better than a constant's"
)
_THERE = "the gradient is there: 1 % of movement along it would change the loss by this many per cent"
_LOW_SOURCE = (
    "at this rate more than 50,000 steps move the weights by their own size; healthy runs, also with a tenth of a good "
    "rate, need 20,000 at most"
)


@rule("learning-rate-too-low", needs=("step", "weights", "events"))
def learning_rate_too_low(history: History) -> Sign | None:
    """Steps so short that nothing moves, although there is a gradient: elasticity ≥ 0.05 (else it is the gradient that
    is missing), which has not doubled (a plateau about to end), and a rate that does not rise (warm-up) unless the run
    is over. A stage that keeps what the one before has learned may step as it likes. Six ways:

    * after 48 steps, 4 losses and 3 looks the median step moves the weights by less than 2·10⁻⁵ of their size and every
      one promises less than a thousandth of the loss; the loss is not 5 % (nor twice its noise) below its first level,
      or still above that of a constant prediction, before which nothing is learned; it began no lower than 0.8 of a
      constant prediction's, since a fine-tune begins low and may step as it likes; the rate was not higher before.
      Where a step promises more, the loss is above a constant's, and not down to that by twice the steps, by all that
      they promise. A rate that rises is no excuse after 128 steps if as many again of the same rise promise less than
      those 5 %. Where
      the loss of a constant prediction is not known, ten times shorter steps are asked for;
    * the weights moved by less than a tenth of their size, nothing was learned, and could not be: all steps together
      promised less than a fifth of the loss, and the run is over, or after 128 steps a tenth would take over 2,000;
    * they moved no more, the run is over while its rate was still rising, and its loss never came below a constant's;
    * they could be ten times as long, and the loss would gain by it (see ``timid.py``), or a policy's result (see
      ``slow_policy.py``);
    * they moved no more, in a stage of a hundredth of the rate of the one before or less, whose loss is above a
      constant's (where that is not known: has lost half of what that one gained) after 128 steps or at its end, and
      would be after as many again, by all that they promise;
    * they moved no more, and after 256 steps the loss rests above a fifth of where it began, under steps that promise
      less than a thousandth of it, where its steepest direction would allow a rate 500 times higher.
    """
    ended = bool(history.events("exit"))
    for name, level in history.losses.items():
        pace = history.paces.get(name)
        if pace is None or not (level.refreshed or ended) or level.count < _MIN_ROWS or len(pace.newest) < 3:
            continue
        if level.steps < _MIN_STEPS or level.recent <= level.inherited:
            continue
        strides = list(pace.newest)
        first, newest, middle = pace.first[0], strides[-1], len(strides) // 2
        elasticity = sorted(s.elasticity for s in strides)[middle]
        if not min(elasticity, newest.elasticity) >= 0.05 or (_doubled(pace) and not ended):
            continue
        found = _still(level, pace)
        judged = not level.negative and (level.known or one_loss(history)) and pace.moved_by(history.step) < STIRRED
        if found is None and judged and _rises_yet(pace):
            found = _still_warm(history, level, pace) if ended else None
        elif found is None and judged:
            found = _never(history, level, pace, ended) or _flat_bowl(history, name, level, pace)
            found = found or _left_behind(level, pace, ended)
        least = 1.0
        if found is None and not _rises_yet(pace):
            found, least = timid(history, name, level, pace, ended), TIMES
        if found is None:
            continue
        rate = f" ({newest.learning_rate:.3g})" if newest.learning_rate == newest.learning_rate else ""
        cause = (
            f"the learning rate{rate} is too low: {newest.step} steps moved the weights by "
            f"{100 * pace.movement:.2g} % of their size in all, and the loss came to {level.recent:.3g}."
        )
        signal, value, threshold, source = found
        evidence = (
            Evidence(signal, name, newest.step, value, threshold, source),
            Evidence("gradient_norm · weight_norm / loss", name, newest.step, elasticity, 0.05, _THERE),
        )
        # the weights are to move by their own size in as many steps as there were, and no step to promise half of
        # what would lose the guarantee
        usual = sorted(s.rate for s in strides)[middle]
        pace_wanted = min(1e-2, max(1e-3, 1 / max(1, level.steps)))
        promised = 0.5 / pace.peak_overshoot if pace.peak_overshoot > 0 else math.inf
        higher = remedies.raise_rate(max(least, min(pace_wanted / max(usual, 1e-9), promised)))
        peak = max(history.measured("learning_rate", name)[1], default=0.0)  # of all stages
        if peak >= _STAGE * newest.learning_rate > 0:  # all of the run at so many times its rate would undo the rest
            cures = remedies.best_of((remedies.floor_rate(peak / 10), higher), str(remedies.floor_rate(peak).apply))
        else:
            cures = (higher,)
        return Sign("warning", cause, evidence, (name,) if name else (), first.step, cures)
    return slow_policy(history)


def _doubled(pace: Pace) -> bool:
    """The gradient is twice what it was at first: a plateau about to end. The noise of one batch doubles a single one,
    so that the newest looks together must show half of that, too."""
    first, newest = ([s.gradient_norm for s in found] for found in (pace.first, pace.last(len(pace.first))))
    return newest[-1] > 2 * first[0] and float(np.median(newest)) > math.sqrt(2) * float(np.median(first))


def _rises_yet(pace: Pace) -> bool:
    """The rate is higher than it was half of the looks ago, and than before the newest quarter of the steps, or zero
    still. One that came down again from its peak, or has stayed there for so long, is as high as it is meant to be."""
    newest = pace.newest[-1]
    now, before = newest.learning_rate, pace.newest[len(pace.newest) // 2].learning_rate
    lately = [s.learning_rate for s in pace.newest if s.step <= _NEWEST * newest.step]
    return now <= 0 or (now > 1.01 * before and not (lately and now <= 1.01 * lately[-1]))


def _still(level: LossLevel, pace: Pace) -> tuple[str, float, float, str] | None:
    """Hardly any movement, and hardly any gain."""
    gained = level.first - level.recent > max(_GAINED * abs(level.first), 2 * level.noise)
    if gained and not (level.known and level.recent > level.constant):
        return None
    if _fine_tunes(level):
        return None
    slow = _SLOW if level.known else 0.1 * _SLOW
    usual = sorted(s.rate for s in pace.newest)[len(pace.newest) // 2]
    if pace.peak_rate >= 3 * slow or usual >= slow:
        return None
    if pace.peak_overshoot >= SMALL_PROMISE and not _far_above(level, pace):
        return None
    # as many steps again of a rate that rises in proportion: the mean promise is one and a half of the newest
    ahead = 3 * pace.newest[-1].overshoot * level.steps
    if pace.rising and not (level.steps >= _WARM and ahead < _GAINED):
        return None
    return "update_norm / weight_norm", usual, slow, _LOW_SOURCE


def _fine_tunes(level: LossLevel) -> bool:
    """It began with most of the task, and has kept it."""
    return level.known and max(level.first, level.recent) < 0.8 * level.constant


def _far_above(level: LossLevel, pace: Pace) -> bool:
    """What was learned before is worse than nothing here, and as many steps again would not bring the loss down to a
    constant prediction's, by all that they promise: where a model is sure and wrong, its gradient is large."""
    if not level.known or not level.recent > level.constant:
        return False
    # each step promises a share of the loss that it finds: together they promise its logarithm
    return 2 * pace.promised_by(level.newest_step) < math.log(level.recent / level.constant)


def _left_behind(level: LossLevel, pace: Pace, ended: bool) -> tuple[str, float, float, str] | None:
    """A stage of a hundredth of the rate before, or less, that is worse than a constant (where that is not known: that
    has lost half of what the one before had gained) and stays so: by all that they promise, as many steps again would
    not bring its loss down to there."""
    until = level.constant if level.known else level.inherited
    if not math.isfinite(level.inherited) or not level.recent > until > 0 or not (ended or level.steps >= _WARM):
        return None
    promised, wanted = pace.promised_by(level.newest_step), math.log(level.recent / until)
    return ("Σ predicted_decrease / loss", promised, wanted / 2, _BEHIND_SOURCE) if 2 * promised < wanted else None


def _never(history: History, level: LossLevel, pace: Pace, ended: bool) -> tuple[str, float, float, str] | None:
    """What all steps together promised, which bounds what a convex loss can have lost."""
    found = None if _fine_tunes(level) else promised_nothing(level, pace, history.step, ended)
    return None if found is None else ("Σ predicted_decrease / loss", *found, _NEVER_SOURCE)


def _still_warm(history: History, level: LossLevel, pace: Pace) -> tuple[str, float, float, str] | None:
    """A warm-up as long as the run: counted in epochs where steps were meant, perhaps."""
    if not level.known or level.best < level.constant or level.steps < _WARM:
        return None
    return "Σ update_norm / weight_norm", pace.moved_by(history.step), STIRRED, _WARMED_SOURCE


def _flat_bowl(history: History, name: str, level: LossLevel, pace: Pace) -> tuple[str, float, float, str] | None:
    """At rest far from a fit, in a bowl that hardly bends over the length of a step."""
    _, curved = history.measured("stability_coefficient", name)
    if len(curved) < 2 or not curved.max() < BENDS or level.steps < 2 * _WARM or not resting(level, slowed=_RESTS):
        return None
    if level.noise > _NOISY * level.recent:
        return None  # what varies by its own size, as what a policy is paid, is no height in a bowl
    if level.at_half - level.recent > max(0.02 * level.first, 0.5 * (level.first - level.at_half)):
        return None  # slowly, but on its way
    if not max(s.overshoot for s in pace.last(4)) < SMALL_PROMISE:
        return None
    return "stability_coefficient", float(curved.max()), BENDS, _BENDS_SOURCE
