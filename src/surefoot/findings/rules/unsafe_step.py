"""``unsafe-step`` and ``edge-of-stability``: how far a step goes against how far its own model of the loss reaches.

r = τ/ρ is the length of a step in radii of convergence of the cross-entropy along it (P. Sao, "Ghosts of Softmax",
arXiv 2603.13552): below 1 a Taylor model of the loss converges over the whole step. Beyond 1 it may still go well:
healthy runs with SGD near the edge of stability were measured at 4 to 17 for single steps, growing there step by step.
What is told apart is a step that comes out of nothing.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.rate_ahead import rise_ahead
from surefoot.findings.rates import JUMP
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.quasi_newton import unsearched
from surefoot.findings.slower import shortened
from surefoot.runs.schema import Evidence, Severity

INSIDE = 1.0
BREAKS = 4.0  # card of the paper: controllers that allow r = 4 break training, 2 is still fine
_MIN_READINGS = 4
_PART = 0.1  # of what was learned
_DENSE = 8  # readings before, the last of them at most this many steps ago, that show how r grows by itself
_GAP = 2
_SOURCE = (
    "r = τ/ρ: beyond 1 the Taylor series of the cross-entropy along the step diverges at its end (Ghosts of Softmax, "
    "arXiv 2603.13552); from 4 on training breaks there"
)


@rule("unsafe-step", needs=("safe_step", "curvature", "step", "samples"))
def unsafe_step(history: History) -> Sign | None:
    """Info at r ≥ 1. Warning at r ≥ 4 and four times the running median, out of nothing: either the learning rate is
    four times what it ever was in the older half of the rows, or the readings of the steps right before (eight or more,
    the last at most two steps ago) were at most a quarter of it. Critical where the loss is then a quarter above the
    first loss (or a constant prediction's) beyond its noise.

    Where no reading of r fell on it: a step whose rate was four times what it ever was in the older half of the rows,
    and after which the three next losses are a quarter above, and above all of, the eight before it: warning, critical
    with the same harm. A rate that came there bit by bit, over more than nine rows, is asked for a tenth of what was
    learned, too: near the end of a fit a loss that is a quarter higher is next to nothing.

    Ahead of it: a scheduler that is to multiply the rate fourfold or more says so itself; warning where the curvature
    that was measured is then twice what the optimiser can stand. And where L-BFGS takes whole steps on batches that
    change, without a line search: warning at the fourth look.
    """
    sign = _leap(history) or _ahead(history) or unsearched(history, _harmed)
    if sign is not None:
        return sign
    for name in history.wheres("safe_ratio"):
        level = history.losses.get(name) or history.losses.get("")
        now = history.value("safe_ratio", name, history.step)
        harmed = level is not None and level.refreshed and _harmed(level)
        if not (now >= INSIDE or harmed):
            continue
        found = worst_step(history, name)
        if found is not None and level is not None and _harmed(level):
            return _sign(history, name, found, "critical", f"and the loss rose to {level.recent:.3g}")
        if found is not None and found[0] == history.step:
            return _sign(history, name, found, "warning", "far beyond every step before")
        if now >= INSIDE:
            median = float(np.median(history.series("safe_ratio", name)[1]))
            return _sign(history, name, (history.step, now, median), "info", "which healthy runs do, too")
    return None


def _leap(history: History) -> Sign | None:
    """A step that only its rate and the loss after it tell of."""
    for name, level in history.losses.items():
        if level.negative or not level.newest > 1.25 * level.recent or level.newest_step != history.step:
            continue  # the common case, and cheap
        steps, losses = history.series("loss", name)
        losses, steps = losses[np.isfinite(losses)][-12:], steps[np.isfinite(losses)][-12:]
        if len(losses) < 12:
            continue
        before, after, at = losses[:9], losses[9:], int(steps[8])
        usual = float(np.median(before))
        jump = rate_jump(history, name, at)
        if jump < JUMP or after.min() <= max(1.25 * usual, float(before.max())):
            continue
        rates = dict(zip(*history.measured("learning_rate", name), strict=True))
        bit_by_bit = rates[at] < JUMP * rates.get(steps[0], 0.0)
        if bit_by_bit and after.min() - usual < _PART * (level.first - usual):
            continue  # what was well until now had such a rate, and next to nothing is lost
        source = "the run's own history: the largest rate in the older half of the rows"
        evidence = (
            Evidence("learning_rate / its largest before", name, at, jump, JUMP, source),
            Evidence(
                "loss", name, int(steps[-1]), float(after.min()), 1.25 * usual, "median of the nine losses before"
            ),
        )
        of = f" of {name}" if name else ""
        cause = (
            f"step {at}{of} was taken with {jump:.3g} times the largest rate before, and the loss went from "
            f"{usual:.3g} to {after.max():.3g}."
        )
        severity: Severity = "critical" if _harmed(level) else "warning"
        cures = shortened(history, name, jump, remedies.SAFE_STEP)
        return Sign(severity, cause, evidence, (name,) if name else (), at, cures)
    return None


def _ahead(history: History) -> Sign | None:
    """The schedule itself says that a step will go too far: at the curvature that was just measured."""
    for name in history.wheres("stability_coefficient"):
        curved = history.value("stability_coefficient", name, history.step)
        if not curved > 0:
            continue
        rise = rise_ahead(history, name)
        if rise is None or rise.factor < JUMP or curved * rise.factor < _EDGE[1]:
            continue
        of = f" of {name}" if name else ""
        cause = (
            f"{rise.scheduler} multiplies the rate{of} by {rise.factor:.3g} at its step {rise.at}, {rise.ahead} from "
            f"now: the sharpest direction then has {curved * rise.factor:.3g} times the curvature that the optimizer "
            "can stand, and no step is safe."
        )
        evidence = (
            Evidence("stability_coefficient × rise", name, history.step, curved * rise.factor, _EDGE[1], _EDGE_SOURCE),
            Evidence("stability_coefficient", name, history.step, curved, _EDGE[1], "the same at the rate of now"),
        )
        capped = remedies.cap_rate(history.value("learning_rate", name))
        cures = remedies.best_of((capped, remedies.SAFE_STEP), str(remedies.lower_rate(rise.factor).apply), "agc")
        return Sign("warning", cause, evidence, (name,) if name else (), history.step, cures)
    return None


def worst_step(history: History, name: str, since: int = 0) -> tuple[int, float, float] | None:
    """The newest reading that came out of nothing: its step, its r, and the median r before it."""
    steps, ratios = history.series("safe_ratio", name)
    for at in range(len(ratios) - 1, -1, -1):
        if steps[at] < since:
            break
        before = ratios[:at][np.isfinite(ratios[:at])]
        if not ratios[at] >= BREAKS or len(before) < _MIN_READINGS:
            continue
        median = float(np.median(before))
        dense = len(before) >= _DENSE and steps[at] - steps[at - 1] <= _GAP
        record = dense and ratios[at] >= JUMP * max(INSIDE, float(before.max()))
        if ratios[at] >= JUMP * median and (record or rate_jump(history, name, int(steps[at])) >= JUMP):
            return int(steps[at]), float(ratios[at]), median
    return None


def rate_jump(history: History, name: str, step: int, rows: int = 1) -> float:
    """The largest learning rate of the ``rows`` newest rows up to ``step``, over the largest of the older half of rows.

    A cycle, a restart or a warm-up has rates that were there before, or that rise by less than fourfold in the time
    that the run has lasted so far. Rates of another kind of optimiser (Adam, then SGD), or of one that has other
    parameters, are no rates of this one.
    """
    steps, rates = history.series("learning_rate", name)
    known = (steps >= history.of_a_kind_since(name)) & (steps <= step) & np.isfinite(rates)
    rates = rates[known]
    if len(rates) < 8:
        return 1.0
    newest, older = rates[-rows:].max(), rates[: len(rates) // 2].max()
    return float(newest / older) if older > 0 else 1.0


def _harmed(level: LossLevel) -> bool:
    if level.nonfinite_step is not None:
        return True
    base = level.base if level.known else level.early_size
    bound = base + 0.25 * abs(base) if level.known else 3 * abs(base)
    return level.count >= 3 and level.recent > bound + 2 * level.noise


def _sign(history: History, name: str, found: tuple[int, float, float], severity: Severity, outcome: str) -> Sign:
    step, ratio, median = found
    of = f" of {name}" if name else ""
    evidence = [Evidence("safe_ratio", name, step, ratio, INSIDE if severity == "info" else BREAKS, _SOURCE)]
    if severity != "info":
        source = "the run's own history: four times the median of the readings before"
        evidence.append(Evidence("safe_ratio / its median", name, step, ratio / max(median, 1e-12), JUMP, source))
    jump = rate_jump(history, name, step)
    if severity != "info" and jump >= JUMP:
        source = "the run's own history: the largest rate in the older half of the rows"
        evidence.append(Evidence("learning_rate / its largest before", name, step, jump, JUMP, source))
    cause = f"step {step}{of} went {ratio:.3g} radii of convergence far (usual here: {median:.2g}), {outcome}."
    # what rose comes down again
    cures = shortened(history, name, ratio, remedies.SAFE_STEP, rate_first=jump >= JUMP) if severity != "info" else ()
    return Sign(severity, cause, tuple(evidence), (name,) if name else (), step, cures)


_EDGE = (0.7, 2.0)
_EDGE_SOURCE = (
    "at 1 oscillations along the sharpest direction stop dying out: λ = 2/η, (2 + 2β)/η, for Adam "
    "(2 + 2β₁)/((1 − β₁)η) (Cohen et al., arXiv 2103.00065 and 2207.14484)"
)


@rule("edge-of-stability", needs=("curvature",))
def edge_of_stability(history: History) -> Sign | None:
    """Info: the last three readings of the stability coefficient, at least one after step 16, lie between 0.7 and 2,
    their median at 0.8 or above, while the loss learns.
    """
    for name in history.wheres("stability_coefficient"):
        level = history.losses.get(name) or history.losses.get("")
        steps, values = history.series("stability_coefficient", name)
        known = np.isfinite(values)
        steps, values = steps[known], values[known]
        if level is None or not level.learned or len(values) < 3 or steps[-1] < 16 or steps[-1] != history.step:
            continue
        newest = values[-3:]
        if newest.min() < _EDGE[0] or newest.max() > _EDGE[1] or np.median(newest) < 0.8:
            continue
        median = float(np.median(newest))
        cause = (
            f"the run is at the edge of stability: the sharpest direction has {median:.2f} times the curvature that "
            "the optimizer can stand. Training there is normal; a larger rate makes the loss oscillate more."
        )
        evidence = Evidence("stability_coefficient", name, int(steps[-1]), median, 1.0, _EDGE_SOURCE)
        return Sign("info", cause, (evidence,), (name,) if name else (), int(steps[-3]))
    return None
