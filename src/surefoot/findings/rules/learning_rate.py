"""``learning-rate-too-high``: what a step promises against what the loss has to give.

A step Δθ promises, to first order, a decrease −⟨g, Δθ⟩. With overshoot = −⟨g, Δθ⟩/(2L) (L ≥ 0 the loss):

* overshoot < 1: for a convex loss every such step comes nearer to every minimiser, in the step's own metric
  (Polyak 1987, Introduction to Optimization, §5.3; see :class:`surefoot.findings.pace.Stride`);
* overshoot > 2: even in a quadratic bowl, where −⟨g, Δθ⟩ = ηλ · 2L, the step lands higher than it started (ηλ > 2).

Networks are not convex and normalisation forgives much, so overshoot alone condemns nothing: measured on healthy runs
(MLP, CNN, CNN with batch normalisation, LSTM, transformer; Adam, SGD, momentum) single steps reach 1.2. What condemns
is overshoot together with a loss that does not go down.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.levels import EARLY, ORDERS, LossLevel
from surefoot.findings.pace import HEALTHY, Pace, Stride
from surefoot.findings.progress import HEARD, one_loss, resting, settled, units_lost
from surefoot.findings.rule import Sign, rule
from surefoot.findings.slower import of_descent, shortened
from surefoot.findings.turned import told_by_rewards
from surefoot.runs.schema import Evidence, Severity

_POLYAK = (
    "−⟨g,Δθ⟩/(2L) > 1 loses the guarantee that a step approaches the minimisers of a convex loss (Polyak 1987), "
    "> 2 climbs even in a quadratic bowl (learning rate above 2/λ)"
)
_REWRITES = "‖Δθ‖/‖θ‖ above 0.1: ten such steps rewrite all weights; healthy runs have 1e-4 to 3e-2"
_SHARP = (
    "sharpest curvature over what the optimizer can stand: beyond 1 it oscillates and grows (2/λ; Cohen et al. 2021)"
)
_FEW_LOOKS = 8
_GONE = 2.0  # ‖Δθ‖/‖θ‖ summed over 16 steps: half of it in random directions would still replace the start
_SCARRED = 64  # steps after which a run that was thrown back has had the time to come back
_LONG = 128
_FROZEN = 0.999  # of the loss at half of the steps
_SLOWED = 0.7  # of the loss at half of the steps
_BUMP = 1.3  # times where the loss began, or a constant's: steps threw it up
_RESTLESS = 0.02  # ‖Δθ‖/‖θ‖ of a step: of 174 healthy scripts one has more in the middle of its looks, and it learns
_TURNED_OVER = 5.0  # Σ ‖Δθ‖/‖θ‖
_STILL, _HALF = 0.97, 0.5  # of the loss at half of the steps; of a constant's
_DOUBLED = 2.0  # the loss of one batch, where steps descend, only falls
_RAISED = 1.5  # times the highest rate that did well: another rate, though no jump


@rule("learning-rate-too-high", needs=("step", "weights", "events"))
def learning_rate_too_high(history: History) -> Sign | None:
    """Steps longer than the loss can repay, and a loss that pays for it. Eleven ways to see it, all but NaN from the
    16th loss on (or at the end of the run), for a jump at the very start may heal by itself:

    * harm: the recent median is a quarter above the first loss (or above a constant prediction) beyond the noise, and
      two of the last looks had overshoot ≥ ½ or moved the weights by a tenth (or one did more than twice both):
      critical. Where the scale of the loss is
      not understood, three times the highest of the first 16 losses and twice those steps are asked for;
    * blow-up: the loss, whatever its scale, rose fivefold over its first value under first steps of overshoot ≥ 2 or of
      three tenths of the size of the weights, and has not come back clearly below where it began: critical;
    * unseen: a model that began near a constant's loss rose fivefold over it within 16 steps, before the first look,
      and learned nothing since: only its steps can have done that: critical;
    * NaN right after such steps: critical;
    * stuck: the model has moved by more than its own size in 40 steps or more and scores no better than a constant,
      after two looks with overshoot ≥ 1 or steps of three tenths of the weights (where half of a layer's units were
      lost since the start, one such look, or two of 3 % and 128 steps), and a bump of the loss or a level above a
      constant's that does not come down to it by twice the steps: critical; not where those units were lost before the
      first long step, which then came of it;
    * for good: three looks with overshoot ≥ 1 (two, where half of a layer's units were lost since the start), or a
      movement by twice the weights' own size in the first 16 steps, so that nothing of their start was left, and a bump
      of the loss; and from 64 steps on a loss above a fifth of where it began (or of a constant's), and hardly lower
      than when the run was half as long: warning;
    * blown out: such a movement, a loss that rose a hundredfold on the way, half of a layer's units lost with it, and
      from 64 steps on a loss that moves by less than a thousandth in half of the run, however low: warning;
    * undone: the loss was better than a constant's and has not been for 64 steps, in which the rate rose to 1.5 times
      the highest that the loss did well under, and it is at its highest: warning; so is twice the best loss of one and
      the same batch, for a quarter of the run;
    * thrown: the loss had come down to half, and rose to twice where it began, within 16 steps of a look with overshoot
      ≥ 2, or of two with 1: warning;
    * restless: after 256 steps the loss is above half of a constant's and not lower than at half of the steps, while
      each step moves the weights by a fiftieth of their size, and all together by five times of it: warning;
    * before harm: two looks in a row whose overshoots' geometric mean is ≥ 2, and the loss is not lower: warning.
    """
    for name, level in history.losses.items():
        pace = history.paces.get(name) or history.paces.get("")
        if pace is None or not pace.newest or not level.count:
            continue
        ended = bool(history.events("exit"))
        if not (level.refreshed or ended or level.nonfinite_step is not None or pace.newest[-1].step == history.step):
            continue
        sign = _too_high(history, name, level, pace)
        if sign is not None:
            return sign
    return None


def _too_high(history: History, name: str, level: LossLevel, pace: Pace) -> Sign | None:
    known = level.known and len(history.losses) == 1
    undone = _scarred(history, name, level, pace) or _undone(history, name, level, pace)
    undone = undone or _thrown(history, name, level, pace)
    undone = undone or _restless(history, name, level, pace)
    if undone is not None:
        return undone
    if level.nonfinite_step is None and level.recent <= level.first and level.count > 3 and not level.stuck:
        return None  # learning: the common case, and cheap
    strength = 1.0 if known else 4.0
    recent = pace.last(_FEW_LOOKS)
    long = [s for s in recent if s.overshoot >= 0.5 * strength or s.rate >= 0.1 * strength]
    if level.nonfinite_step is not None:
        hard = [s for s in long if s.overshoot >= 1 or s.rate >= 0.3]
        near = [s for s in hard if s.step >= history.step - max(8, history.step // 2)]
        if near and not _was_well(level):
            return _high(name, history, level, near, "critical", "and then it was not finite any more")
        return None
    if not settled(history, level):
        return None
    base = level.base if known else level.early_size
    bound = base + 0.25 * abs(base) + 2 * level.noise if known else 3 * abs(base) + 2 * level.noise
    enough = len(long) >= 2 or any(s.overshoot >= 1 and s.rate >= 0.3 for s in long)
    if enough and level.count >= 3 and level.recent > bound:
        return _high(name, history, level, long, "critical", f"and the loss rose to {level.recent:.3g} from {base:.3g}")
    if not level.negative and level.peak > 5 * level.first > 0 and level.recent > 0.8 * level.first:
        blows = [s for s in pace.first if s.overshoot >= 2 or s.rate >= 0.3]
        if len(blows) >= 2:
            told = f"and the loss went from {level.first:.3g} up to {level.peak:.3g}"
            return _high(name, history, level, blows, "critical", told)
    if not known:
        return None
    unseen = pace.first and level.peak_step < pace.first[0].step and level.peak_step <= level.first_step + 16
    if unseen and level.first <= 5 * level.constant and level.peak > 5 * level.base and level.stuck:
        told = f"and the loss had gone from {level.first:.3g} up to {level.peak:.3g} before the first look at a step"
        return _high(name, history, level, pace.first, "critical", told, level.first_step)
    if (
        level.steps >= 40
        and level.count >= 4
        and level.stuck
        and pace.movement >= 1
        and level.recent > 0.9 * level.constant
    ):
        every = {s.step: s for s in (*pace.first, *pace.newest)}
        strong = [s for s in every.values() if s.overshoot >= 1 or s.rate >= 0.3]
        long_since = min((s.step for s in every.values() if s.overshoot >= 1 or s.rate >= HEALTHY), default=0)
        lost = units_lost(history)
        if lost is not None and lost <= long_since:
            return None  # units were lost under short steps
        crushed = lost is not None
        # where units were lost on the way, steps longer than any of a healthy run's are long enough
        mild = [s for s in every.values() if s.rate >= (HEALTHY if crushed else 0.1)]
        # such steps are many a healthy run's, too, and a plateau after them may end by itself
        late = level.steps >= _LONG or bool(history.events("exit"))
        bad = strong if len(strong) >= (1 if crushed else 2) else mild if len(mild) >= 2 and crushed and late else []
        # a loss at its best that will be below a constant's at twice the steps, if it goes on so, is on its way
        fallen = level.at_half - level.recent
        coming = level.recent <= level.best and fallen > max(level.uncertainty, (level.recent - level.constant) / 2)
        above = level.low > level.constant and not coming
        if bad and (level.peak > _BUMP * level.base or above):
            told = f"and after {level.steps} steps the loss {level.recent:.3g} is no better than a constant's"
            return _high(name, history, level, bad, "critical", told)
    two = pace.last(2)
    climbing = len(two) == 2 and min(s.overshoot for s in two) > 0.5 and level.newest >= 1.02 * level.first
    if climbing and math.sqrt(two[0].overshoot * two[1].overshoot) >= 2:
        return _high(name, history, level, two, "warning", "and the loss does not go down")
    return None


def _scarred(history: History, name: str, level: LossLevel, pace: Pace) -> Sign | None:
    """The steps went further than the loss could repay, and what they undid has not been learned again since."""
    many = pace.opening >= _GONE or len(pace.overshot) >= 3
    if not (many or len(pace.overshot) >= 2) or level.steps < _SCARRED or not one_loss(history):
        return None
    if pace.opening < _GONE and history.step - pace.overshot[0].step < _SCARRED:
        return None  # it has not had the time yet to come back from these
    if pace.opening < _GONE and level.recent <= min(_before(level, pace.overshot[0].step), default=-math.inf):
        return None  # it has come back
    lost = units_lost(history)
    blown = lost is not None and pace.opening >= _GONE and level.peak > ORDERS * abs(level.first)
    frozen = not level.negative and level.recent > max(_FROZEN * level.at_half, 0.0)
    if not (blown and frozen) and (not resting(level, slowed=_SLOWED) or not (many or lost is not None)):
        return None
    if len(pace.overshot) < 2 and level.peak <= _BUMP * level.base:
        return None  # it began so small that its first steps are longer than itself, and undid nothing
    if lost is not None and pace.opening < _GONE and lost <= pace.overshot[0].step:
        return None  # long steps came of the loss of units
    why = "as units were lost" if blown and frozen else "far from a fit"
    told = f"and after {level.steps} steps the loss {level.recent:.3g} hardly falls any more, {why}"
    strides = list(pace.overshot) if len(pace.overshot) >= 2 else pace.first
    return _high(name, history, level, strides, "warning", told)


def _undone(history: History, name: str, level: LossLevel, pace: Pace) -> Sign | None:
    """A warm-up that went on past the rate at which the model learned, and took away what it had learned."""
    rate = history.rates.get(name)
    if rate is None or not level.known or not one_loss(history):
        return None
    if not level.stuck:
        return _climbed(history, name, level, pace)
    # one batch's luck is nothing learned: the first losses are a median of few
    well = [at for at, recent in level.marks if at >= level.first_step + EARLY and recent <= HEARD * level.constant]
    if not well or history.step - well[-1] < _SCARRED:
        return None
    if not rate.newest >= rate.peak >= _RAISED * rate.well > 0:
        return None
    told = (
        f"and what it had learned by step {well[-1]}, when no rate had been above {rate.well:.3g}, is undone: the loss "
        f"is back at {level.recent:.3g} from {level.best:.3g}"
    )
    return _high(name, history, level, pace.last(_FEW_LOOKS), "warning", told)


def _climbed(history: History, name: str, level: LossLevel, pace: Pace) -> Sign | None:
    """The same on one and the same batch, where the loss is a function of the weights alone: it need not have lost all
    to show that the higher rate has undone what the lower one did."""
    rate, batches = history.rates[name], history.measured("distinct_batches", name)[1]
    one = len(batches) >= _FEW_LOOKS and bool((batches == 1).all())
    if not one or not rate.newest >= rate.peak >= _RAISED * rate.well > 0 or not level.low >= _DOUBLED * level.best > 0:
        return None
    best = min(level.marks, key=lambda mark: mark[1], default=(history.step, 0.0))[0]
    if history.step - best < max(_LONG, history.step / 4):
        return None
    told = (
        f"and the loss, of one and the same batch, was at {level.best:.3g} by step {best}, when no rate had been above "
        f"{rate.well:.3g}, and is above {level.low:.3g} now"
    )
    return _high(name, history, level, pace.last(_FEW_LOOKS), "warning", told)


def _thrown(history: History, name: str, level: LossLevel, pace: Pace) -> Sign | None:
    """What it had learned did not hold: its steps threw it up above all that it began with, whether or not it is on its
    way down again. A batch can do that, too, but promises no more than its own loss."""
    if not level.known or not one_loss(history) or level.peak_step <= level.first_step + 2 * EARLY:
        return None
    if not (level.peak > 2 * level.base and level.best < 0.5 * level.base):
        return None
    near = [s for s in pace.overshot if abs(s.step - level.peak_step) <= EARLY]
    if not near or (len(near) < 2 and near[0].overshoot < 2):
        return None
    outcome = f"and the loss, which had come down to {level.best:.3g}, was thrown up to {level.peak:.3g}"
    return _high(name, history, level, near, "warning", outcome)


def _restless(history: History, name: str, level: LossLevel, pace: Pace) -> Sign | None:
    """Each step turns over a fiftieth of the weights, in all several times of what there is of them: nothing that one
    step writes is there any more when the next thing is to be learned from it."""
    strides = pace.last(_FEW_LOOKS)
    if not level.known or not one_loss(history) or level.steps < 2 * _LONG or len(strides) < _FEW_LOOKS:
        return None
    layers = history.layers("update_ratio")
    if layers is None or pace.movement < _TURNED_OVER or min(s.rate for s in strides) < _RESTLESS / 2:
        return None
    usual = float(np.median([s.rate for s in strides]))
    known = layers.values[np.isfinite(layers.values)]
    if told_by_rewards(history) or not (usual >= _RESTLESS or (len(known) and np.median(known) >= _RESTLESS)):
        return None
    if not level.recent > max(_STILL * level.at_half, _HALF * level.constant):
        return None
    told = (
        f"and the last ones moved the weights by {100 * usual:.2g} % of their size each, by {pace.movement:.2g} times "
        f"that in all so far, while the loss rests at {level.recent:.3g}"
    )
    return _high(name, history, level, strides, "warning", told)


def _before(level: LossLevel, step: int) -> list[float]:
    """Levels that the loss had before ``step``, its first steps apart."""
    return [recent for at, recent in level.marks if level.first_step + EARLY <= at < step]


def _was_well(level: LossLevel) -> bool:
    return level.learned and level.recent < 1.5 * abs(level.best)


def _high(
    name: str,
    history: History,
    level: LossLevel,
    strides: list[Stride],
    severity: Severity,
    outcome: str,
    began: int | None = None,
) -> Sign:
    overshoots = [s for s in strides if s.overshoot >= 0.5]
    worst = max(overshoots or strides, key=lambda s: s.overshoot if overshoots else s.rate)
    if overshoots:
        evidence = Evidence("predicted_decrease / (2 · loss)", name, worst.step, worst.overshoot, 1.0, _POLYAK)
        what = f"a step promised to lower the loss by {2 * worst.overshoot:.3g} times what there was to lower"
        excess = worst.overshoot * 4
    else:
        evidence = Evidence("update_norm / weight_norm", name, worst.step, worst.rate, 0.1, _REWRITES)
        what = f"one step moved the weights by {100 * worst.rate:.3g} % of their size"
        excess = worst.rate / 0.01
    loss = Evidence("loss", name, history.step, level.newest if level.nonfinite_step else level.recent, level.base,
                    "first loss of the run, or that of the best constant prediction if higher")  # fmt: skip
    curved = history.value("stability_coefficient", name)
    sharp = (Evidence("stability_coefficient", name, history.step, curved, 1.0, _SHARP),) if curved > 1 else ()
    excess = of_descent(history, name) or excess
    began = min(s.step for s in strides) if began is None else began
    rate = worst.learning_rate
    of = f" of {name}" if name else ""
    # of a descent by hand no rate is recorded
    known = f"{rate:.3g} at step {worst.step}" if rate == rate else f"at step {worst.step}"
    cause = f"the learning rate{of} ({known}) is too high: {what}, {outcome}."
    # the safe radius is that of a softmax cross-entropy; elsewhere the gradient can be bounded
    softmax = {"cross_entropy", "nll_loss", "log_softmax"} & set(history.wheres("softmax_collapse_share"))
    # curvature was measured and is beyond the limit: a rate that follows it answers that
    by_curvature = (remedies.DAL,) if sharp else ()
    bounded = remedies.SAFE_STEP if softmax else remedies.CLIP
    cures = (*shortened(history, name, min(excess, 1e4), bounded, early=began <= EARLY), *by_curvature)
    return Sign(severity, cause, (evidence, loss, *sharp), (name,) if name else (), began, cures)
