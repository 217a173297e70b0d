"""``stalled``: the weights move, gradients are there, no step is too long, and yet nothing is learned.

What can be said honestly is little. A plateau at the start that ends by itself (parity, long credit assignment, deep
tanh) looks like a plateau that never ends, and a loss that is flat at some level of its own may be all that the data
give. So only one thing is judged: a loss that never left what a constant prediction scores, which says that the model
makes no use of its inputs, and how much was tried meanwhile. Typical causes lie in the data: targets that do not belong
to their inputs, inputs that are all alike. A run that is over will not end its plateau any more.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.harm import harms
from surefoot.findings.history import EventLike, History
from surefoot.findings.levels import LossLevel
from surefoot.findings.pace import STIRRED, Pace
from surefoot.findings.progress import growing
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.quasi_newton import unsettled
from surefoot.findings.turned import told_by_rewards
from surefoot.runs.schema import Evidence, Remedy, Severity

_STEPS, _LONG = 200, 1000
_BRIEF = 96  # steps of a run that is over: after fewer it was stopped, or a trial
_MOVED, _MUCH = 1.0, 10.0
_CONSTANT = 0.97
_NEVER = 0.99  # of a constant's loss: what the noise of batches leaves of it
_NEAR = 1.1  # further above, it is not a constant that the loss is to be measured by
_ELASTIC = 0.01
_ALL_ALONG = 2  # times the steps until it was no longer as good as at its best
_ALIKE, _LOOKS = 64, 4  # steps and looks at which inputs that are all alike are no matter of chance
_CONSTANT_SOURCE = "the loss of the best constant prediction on the same batches, which needs no input at all"
_MOVED_SOURCE = (
    "Σ ‖Δθ‖/‖θ‖: at 1 the weights can have moved by their own size; at 10 a network that was going to learn at this "
    "rate has had ten times its whole size to do it"
)


@rule("stalled", needs=("step", "weights", "events", "samples", "printed"))
def stalled(history: History) -> Sign | None:
    """After 200 steps and weights that moved by their own size (Σ ‖Δθ‖/‖θ‖ ≥ 1) the loss is, and always was, within 3 %
    of a constant prediction's or above (and not on its way down to it), no step overshot (−⟨g,Δθ⟩/(2L) < 1) and
    elasticity is 0.01 or more: info, for such a plateau may end by itself. Warning after 1000 steps and ten times their
    size, if the gradient is not growing; and at the end of a run whose loss has not gone down, or not in the newest
    half of the run (what it came down by before was the constant), nor 1 % below a constant's, where it is not falling
    below it just now. Warning after 32 steps of L-BFGS on batches that change, without a line search, where the loss
    rests far from a fit. Warning after 64 steps where all rows of all batches that were looked at are the same, and
    targets are not; and where the loss is of no known size, no lower than it began after 200 steps, while what the
    script prints has got worse for half of the run or more.
    """
    if len(history.losses) != 1:
        return None
    for name, level in history.losses.items():
        pace = history.paces.get(name)
        told = level.refreshed or bool(history.events("exit"))
        sign = (_all_alike(history, name, level) or unsettled(history, name, level)) if told else None
        if sign is not None:
            return sign
        least = _BRIEF if history.events("exit") else _STEPS
        if pace is None or not told or level.steps < least or level.count < 32 or not level.known:
            continue
        if not level.as_a_constant or level.recent > 1.25 * level.base:
            continue
        if level.learned and level.share > 2 - _CONSTANT:
            continue  # it may still be on its way down
        rests = not level.learned or level.recent + level.uncertainty >= _CONSTANT * level.at_half
        over = bool(history.events("exit")) and rests and _NEVER <= level.share <= _NEAR
        if over and level.falling_to < _NEVER * level.constant:
            over = False  # the plateau is ending
        if (
            pace.moved_by(history.step) < (STIRRED if over else _MOVED)
            or pace.peak_overshoot >= 1
            or len(pace.newest) < 4
        ):
            continue
        elasticity = sorted(s.elasticity for s in pace.newest)[len(pace.newest) // 2]
        if not elasticity >= _ELASTIC:
            continue
        return _sign(history, name, level, pace, elasticity, over)
    return _beside_its_aim(history)


def _beside_its_aim(history: History) -> Sign | None:
    """A loss that has no constant's to be measured by is where it began, and what the script prints of the same model
    has lost half and more of what it was at first: whatever is learned is not what it is asked for."""
    if told_by_rewards(history):
        return None
    for name, level in history.losses.items():
        pace, slack = history.paces.get(name), 2 * max(level.noise, level.best_noise)
        if pace is None or level.known or level.negative or level.steps < _STEPS or len(pace.newest) < 4:
            continue
        if min(level.best, level.low) < level.first - slack or pace.moved_by(history.step) < _MOVED:
            continue
        if pace.peak_overshoot >= 1:
            continue
        for harm in harms(history):
            if harm.signal != "printed_number" or not _ALL_ALONG * harm.since <= history.step:
                continue
            moved = pace.moved_by(history.step)
            cause = (
                f"nothing is learned of what is asked for: after {level.steps} steps the loss {level.recent:.3g} is "
                f"where it began ({level.first:.3g}), and {harm.words}. Look whether targets belong to their inputs, "
                "and which pairs the loss is taken of."
            )
            evidence = (
                Evidence("loss", name, level.newest_step, level.best, level.first - slack,
                         "its own first values, less twice its noise"),
                Evidence("Σ update_norm / weight_norm", name, history.step, moved, _MOVED, _MOVED_SOURCE),
                harm.evidence(history.step),
            )  # fmt: skip
            return Sign("warning", cause, evidence, (name,) if name else (), level.first_step, _cures(history))
    return None


def _all_alike(history: History, name: str, level: LossLevel) -> Sign | None:
    """Of inputs that are all one, nothing but a constant can be told, however long it takes."""
    if level.steps < _ALIKE or level.count < 32 or not (level.known and level.as_a_constant):
        return None
    steps, rows = history.series("batch_rows", name)
    _, distinct = history.series("distinct_samples", name)
    if len(distinct) != len(rows):
        return None
    seen = np.isfinite(distinct) & np.isfinite(rows)
    steps, rows, distinct = steps[seen], rows[seen], distinct[seen]
    if len(steps) < _LOOKS or steps[-1] - steps[0] < _ALIKE // 2 or rows.min() < 2 or not (distinct == 1).all():
        return None
    cause = (
        f"the inputs are all the same: {len(steps)} batches held one row again and again, so that the model can learn "
        f"no more than a constant prediction ({level.constant:.3g}). Look at how inputs are made: an index of words in "
        "which none is found, a mask or a normalisation that leaves nothing."
    )
    evidence = (
        Evidence("distinct_samples", name, int(steps[-1]), 1.0, float(rows[-1]), "rows of one batch, let alone of all"),
        Evidence("loss", name, level.newest_step, level.best, _CONSTANT * level.constant, _CONSTANT_SOURCE),
    )
    return Sign("warning", cause, evidence, (name,) if name else (), int(steps[0]), (remedies.LOOK_AT_BATCH,))


def _sign(history: History, name: str, level: LossLevel, pace: Pace, elasticity: float, over: bool) -> Sign:
    moved = pace.moved_by(history.step)
    long = level.steps >= _LONG and moved >= _MUCH and not growing(history)
    severity: Severity = "warning" if long or over else "info"
    cause = (
        f"nothing is learned: after {level.steps} steps, in which the weights moved by up to {moved:.3g} times "
        f"their size, the loss {level.recent:.3g} is still that of a constant prediction ({level.constant:.3g}). Look "
        "whether targets belong to their inputs, and whether inputs differ at all"
        + ("." if severity == "warning" else "; a plateau that ends by itself looks the same so far.")
    )
    least = _MUCH if long else STIRRED if over else _MOVED
    evidence = (
        Evidence("loss", name, level.newest_step, level.best, _CONSTANT * level.constant, _CONSTANT_SOURCE),
        Evidence("Σ update_norm / weight_norm", name, history.step, moved, least, _MOVED_SOURCE),
        Evidence("gradient_norm · weight_norm / loss", name, history.step, elasticity, _ELASTIC,
                 "the gradient is there: vanishing is another finding"),
    )  # fmt: skip
    return Sign(severity, cause, evidence, (name,) if name else (), level.first_step, _cures(history))


def _cures(history: History) -> tuple[Remedy, ...]:
    """Rows and what belongs to them in one order, where the script's text says that they are not."""
    return (*map(one_order, history.events("lone_order")), remedies.LOOK_AT_BATCH)


def one_order(told: EventLike) -> Remedy:
    """All that belongs together put in the order that one of it was given."""
    left = ", ".join(told.data["left"])
    return Remedy(
        name="one order for rows and what belongs to them",
        why=f"line {told.data['line']} puts rows in another order than {left}",
        how=f"# replace: {told.data['statement']}\n{told.data['together']}",
    )
