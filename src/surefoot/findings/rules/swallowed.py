"""Updates that the weights' own precision swallows: one part of ``low-precision-underflow``.

In bfloat16 an update below 2⁻⁹ of a weight leaves it as it is, in float16 one below 2⁻¹². Many a run learns all the
same, from the updates that are left: what is asked for is that none are left to a loss that is not fit, while the rate
is one that was meant to teach something; or that most are swallowed where nothing is learned.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History, Layers
from surefoot.findings.progress import fit, resting, stuck_for
from surefoot.findings.rule import Sign
from surefoot.findings.rules.non_finite import whole_range
from surefoot.findings.stretches import unbroken_from
from surefoot.findings.turned import trained
from surefoot.runs.schema import Evidence, Severity

_LOOKS, _MOST = 3, 0.9  # in a row; of the elements
_HALF = 0.5  # of the elements: of a run that learns nothing more is not asked for
_LONG = 48  # steps
_AS_LONG = 0.5  # of the time before: a loss that falls evenly is a quarter lower by then
_STILL = 2e-5  # as for learning-rate-too-low
_UNLEARNED = 0.2  # of a constant's loss
_SLOWED = 0.75  # of the loss at half of the run: what is left takes a quarter of it at most in a doubling of the time
_LITTLE = 1 / 16
_TAKEN = 0.25  # of the highest rate: from there on it is the schedule that ends the run
_SCHEDULED = "from a quarter of the highest rate on it is the schedule that ends a run"
_PROMISED = "predicted_decrease / (learning_rate · size of the gradient), over that of the first looks"
_AVERAGED = (
    "a moment of 0.9 holds a tenth of the newest gradient, so that averaging alone leaves a tenth of what the first "
    "step, along its own gradient, promises"
)
_SWALLOWED = (
    "share of elements with a gradient that the update left as they were: it is below half a unit in the last place"
)


def swallowed(history: History) -> Sign | None:
    """The sign of updates that are swallowed in nine tenths of a layer's elements, if any are; see the rule."""
    recent = history.recent_layers("swallowed_share", _LOOKS)
    if len(recent) < _LOOKS or not np.isfinite(recent[-1].values).any():
        return None
    if any(r.names != recent[-1].names for r in recent):
        return None
    if not any(pace.newest and pace.newest[-1].learning_rate > 0 for pace in history.paces.values()):
        return None
    low: np.ndarray = np.all([r.values >= _MOST for r in recent], axis=0)
    if not low.any():
        return None
    where = tuple(n for n, is_low in zip(recent[-1].names, low, strict=True) if is_low)
    at_fault = (
        all(_share_of_all(history, r) >= _HALF for r in recent) and stuck_for(history, _LONG) and _would_move(history)
    )
    of_steps = 1.0 if at_fault or fit(history) else _of_its_first_steps(history, recent)
    # a fit has small gradients and small steps, but for an optimiser that divides them by their own size
    steady = all("eps" in history.optimizer(name).get("defaults", {}) for name in history.paces)
    early = None if at_fault or (fit(history) and not steady) else _ended_early(history)
    severity: Severity = "warning" if at_fault or of_steps <= _LITTLE or early is not None else "info"
    newest = recent[-1]
    evidence = [Evidence("swallowed_share", where[0], newest.step, newest[where[0]], _MOST, _SWALLOWED)]
    if of_steps <= _LITTLE:
        evidence.append(Evidence(_PROMISED, "", newest.step, of_steps, _LITTLE, _AVERAGED))
    cause = (
        f"the weights' own precision swallows the updates: {100 * newest[where[0]]:.3g} % of the elements of "
        f"{where[0]} are what they were before the step, though they have a gradient"
    )
    if early is not None:
        step, rate = early
        evidence.append(Evidence("learning_rate over its highest", "", step, rate, _TAKEN, _SCHEDULED))
        cause += f"; so it has been of nearly all since step {step}, at {rate:.2g} of the highest rate"
    cause += "."
    return Sign(severity, cause, tuple(evidence), where, recent[0].step, whole_range(history))


def _ended_early(history: History) -> tuple[int, float] | None:
    """Since which step nine tenths of all elements have stood still at each look, three looks, 48 steps and half as
    long as they had moved at least, and what part of its highest the rate was then, if that was a quarter or more and
    the loss has hardly fallen since: whatever the schedule has still to give, no weight takes it."""
    names = [name for name in history.wheres("swallowed_share") if len(history.measured("swallowed_share", name)[0])]
    steps, shares = history.together(*(("swallowed_share", name) for name in names))
    if not len(steps) or len(history.rates) != 1 or not _would_move(history, highest=True):
        return None
    sizes = [history.module(name).get("parameters", 1) for name in names]
    at = unbroken_from(np.average(shares, axis=0, weights=sizes) >= _MOST)
    if len(steps) - at < _LOOKS or history.step - steps[at] < max(_LONG, _AS_LONG * steps[at]):
        return None
    if any(level.recent <= _SLOWED * trained(history, name, int(steps[at])) for name, level in history.losses.items()):
        return None
    ((name, level),) = history.rates.items()
    rated, rates = history.measured("learning_rate", name)
    known = rates[rated <= steps[at]]
    rate = float(known[-1]) / level.peak if len(known) and level.peak > 0 else 0.0
    return (int(steps[at]), rate) if rate >= _TAKEN else None


def _of_its_first_steps(history: History, rows: list[Layers]) -> float:
    """What a step promises, by the rate and the gradient that it has, over what the first steps did so: that of the
    optimiser for which most is left, while all layers' updates are swallowed at a rate that is not yet over and a loss
    is left that is known, no fit, and hardly falls; else 1."""
    if not all(_share_of_all(history, row) >= _MOST for row in rows) or not _would_move(history):
        return 1.0
    levels = history.losses.values()
    if not levels or not all(v.known and v.share > _UNLEARNED and v.steps >= _LONG for v in levels):
        return 1.0
    if not all(resting(v, slowed=_SLOWED) for v in levels):
        return 1.0  # the updates that are left are enough
    found = []
    for name, pace in history.paces.items():
        rate = history.rates.get(name)
        if rate is None or len(pace.newest) < 2 * _LOOKS or rate.newest < _TAKEN * rate.peak:
            return 1.0
        adaptive = "eps" in history.optimizer(name).get("defaults", {})
        first, last = (
            [s.overshoot / (s.learning_rate * s.elasticity * (1.0 if adaptive else s.gradient_norm)) for s in strides
             if s.learning_rate > 0 and s.elasticity > 0]
            for strides in (pace.first, pace.last(_LOOKS))
        )  # fmt: skip
        if len(first) < _LOOKS or len(last) < _LOOKS or not np.median(first) > 0:
            return 1.0
        found.append(float(np.median(last)) / float(np.median(first)))
    return max(found, default=1.0)


def _share_of_all(history: History, row: Layers) -> float:
    """Of all elements of all layers: the biases of a normalisation begin at zero, where every step is seen."""
    known = np.isfinite(row.values)
    counts = np.array([history.module(name).get("parameters", 1) for name in row.names])[known]
    return float(np.average(row.values[known], weights=counts)) if counts.sum() else 0.0


def _would_move(history: History, highest: bool = False) -> bool:
    """Whether in float32 the steps would move the weights, at the newest rate or the ``highest``: else it is the
    learning rate that is too low."""
    weight, gradient = history.layers("weight_rms"), history.layers("gradient_rms")
    if weight is None or gradient is None or weight.names != gradient.names:
        return False
    moves: list[float] = []
    for name, pace in history.paces.items():
        rate = pace.newest[-1].learning_rate if pace.newest else 0.0
        if highest and name in history.rates:
            rate = history.rates[name].peak
        adaptive = "eps" in history.optimizer(name).get("defaults", {})
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = (rate if adaptive else rate * gradient.values) / weight.values
        moves += [float(s) for s in steps if np.isfinite(s)]
    return bool(moves) and float(np.median(moves)) >= _STILL
