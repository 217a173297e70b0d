"""``unscaled-inputs``: inputs of a size, or of so uneven sizes, that the first layer makes nothing good of them.

A layer with weights w makes of inputs x pre-activations of size √(meanᵤ Σᵢ wᵤᵢ² E[xᵢ²]) (exact for weights that know
nothing of x, so at the start). Signals keep their size over depth only where this is of order one (Roberts, Yaida and
Hanin 2022); the curvature that the first layer sees is the second moment of the inputs, so that features of uneven
scale make a narrow valley (LeCun et al. 1998, §4.3). Networks forgive a factor of a few (pixels 0 … 16 give 4), so
that only a factor of ten counts, and above an info only with the harm that follows from it. A unit may change on the
way, too, with a file or a sensor.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.growing_inputs import growing
from surefoot.findings.rules.input_cures import OTHER_UNIT, STANDARDISE
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import Evidence, Severity

_LARGE = 10.0
SMALL = 0.01
_UNEVEN = 100.0
_LOOKS = 3
_HALF, _FEW = 0.5, 0.125  # of a layer's outputs
_FAR_OFF, _LONG = 1 / 32, 256  # of what rows have in common; steps
_ROWS, _STEPS = 64, 100  # before a loss that stays where it is says something
_CRITICAL = "weights of critical initialisation make pre-activations of order one (Roberts, Yaida, Hanin 2022)"


@rule("unscaled-inputs", needs=("inputs", "step"))
def unscaled_inputs(history: History) -> Sign | None:
    """The first layer's pre-activations are ten times too large at the start: info; warning where a loss of the
    first 16 is ten times a constant prediction's, the layer is saturated or dead, or the loss learns nothing in 64
    rows; critical where it is lost. A hundred times too small, or features a hundred times apart, or a hundred
    times as far from zero as they vary (32 times, after 256 steps), and nothing learned: warning. So it is where
    inputs became ten times as large on the way, and most of what was learned is lost, or half of the layer has
    become flat; or where they grow with the run, tenfold and more, until steps are too long for them."""
    if history.looks("preactivation_scale") > 4 and not any(v.refreshed for v in history.losses.values()):
        return None
    judged: set[str] = set()
    firsts = zip(history.first_layers("preactivation_scale"), history.first_layers("feature_spread"), strict=True)
    for rows, spreads in firsts:
        for layer, size in zip(rows.names, rows.values, strict=True):
            if layer in judged or not size > 0:
                continue
            judged.add(layer)  # by its first row: later the weights know of the inputs
            sign = _judge(history, layer, rows.step, float(size) / _of_weights(history, layer), spreads[layer])
            sign = sign or _offset(history, layer)
            sign = sign or _changed(history, layer) or growing(history, layer)
            if sign is not None:
                return sign
    return None


def _offset(history: History, layer: str) -> Sign | None:
    """What the rows have in common is a hundred times what they differ by, at each look, and nothing is learned: the
    direction that all share is 10⁴ times as curved as those that tell rows apart. 10³ times is enough where nothing was
    learned in 256 steps."""
    steps, varies = history.measured("input_variation", layer)
    stuck = [level.steps for level in history.losses.values() if _stuck(level)]
    bound = _FAR_OFF if min(stuck, default=0) >= _LONG else 1 / _UNEVEN
    if len(steps) < _LOOKS or not stuck or not 0 < varies.max() <= bound:
        return None
    source = "curvature goes with the mean squared (LeCun et al. 1998)"
    evidence = Evidence("input_variation", layer, int(steps[-1]), float(varies[-1]), bound, source)
    cause = (
        f"the inputs of {layer} are far from zero: what rows differ by is {varies[-1]:.2g} of their size, and the loss "
        "learns nothing."
    )
    return Sign("warning", cause, (evidence,), (layer,), int(steps[0]), (STANDARDISE,))


def _changed(history: History, layer: str) -> Sign | None:
    """Inputs that came to be ten times what they were at every look before, from one look to the next and for good,
    and what was learned of those before is lost, or half of the layer has become flat for them: another unit. In a game
    what comes in may be made by the other player."""
    steps, sizes = history.measured("input_rms", layer)
    reaches = history.value("preactivation_scale", layer)
    now = float(sizes[-_LOOKS:].min()) if len(sizes) >= 2 * _LOOKS and not history.wheres("generated_move") else 0.0
    at = unbroken_from(sizes >= now / 2)
    if not reaches >= 1 or not _LOOKS <= at <= len(sizes) - _LOOKS or not now >= _LARGE * sizes[:at].max() > 0:
        return None
    began, before = int(steps[at]), float(sizes[at - 1])
    harm = _harm_since(history, layer, began)
    if harm is None:
        return None
    what, shown = harm
    source = "ten times the largest at any look before"
    evidence = (Evidence("input_rms", layer, began, now, _LARGE * float(sizes[:at].max()), source), shown)
    cause = (
        f"the inputs of {layer} changed their scale at step {began}: their size went from {before:.3g} to {now:.3g} "
        f"and has stayed there, and {what}."
    )
    return Sign("warning", cause, evidence, (layer,), began, OTHER_UNIT)


def _harm_since(history: History, layer: str, began: int) -> tuple[str, Evidence] | None:
    """What a change of the inputs has done."""
    for name, level in history.losses.items():
        if _lost_half(level):
            half = (level.first + level.best) / 2
            shown = Evidence("loss", name, history.step, level.recent, half, "half of what it had gained")
            return "more than half of what the loss had gained is lost", shown
    steps, flat = history.measured("saturated_share", layer)
    before, since = flat[steps < began], flat[steps >= began]
    if len(before) and len(since) >= _LOOKS and before.max() <= _FEW and since[-_LOOKS:].min() >= _HALF:
        source = "half of its outputs are in the flat part, and nearly none were"
        shown = Evidence("saturated_share", layer, int(steps[-1]), float(since[-1]), _HALF, source)
        return f"{100 * since[-1]:.3g} % of its outputs are in the flat part of the activation since", shown
    return None


def _lost_half(level: LossLevel) -> bool:
    """More than half of a clear gain is gone; a loss below zero has no floor that it could have come near."""
    gained = level.first - level.best
    clear = not level.negative and gained > max(0.1 * level.first, 2 * level.best_noise)
    return clear and level.low > (level.first + level.best) / 2


def _of_weights(history: History, layer: str) -> float:
    """How much of it is the size of the weights, not of what comes in: √(variance · fan-in) where that is above the
    critical 2 of a ReLU; see ``off-critical-initialisation``."""
    told = history.events("initialisation")
    drawn = told[0].data.get("weight_variance", {}).get(layer) if told else None
    return math.sqrt(drawn) if isinstance(drawn, int | float) and drawn > 2 else 1.0


def _judge(history: History, layer: str, step: int, size: float, spread: float) -> Sign | None:
    severity: Severity
    shown = Evidence("preactivation_scale", layer, step, size, _LARGE if size >= 1 else SMALL, _CRITICAL)
    if size >= _LARGE:
        harm, evidence = _harm(history, layer)
        severity = "info" if harm is None else "critical" if harm in _LOST else "warning"
        uneven = f", and its features are {spread:.3g} times apart" if spread >= _UNEVEN else ""
        cause = (
            f"the inputs of {layer} are not scaled: it makes pre-activations of size {size:.3g} of them, where about 1 "
            f"is right{uneven}{'' if harm is None else f'; {harm}'}."
        )
        return Sign(severity, cause, (shown, *evidence), (layer,), step, (STANDARDISE,))
    if not any(_stuck(level) for level in history.losses.values()):
        return None
    if layer in history.wheres("bptt_rate"):
        return None  # it is called step by step, and what enters at the first is the state that is empty yet
    if size <= SMALL:
        cause = (
            f"the inputs of {layer} are tiny: it makes pre-activations of size {size:.2g} of them, which drown in its "
            "biases, and the loss learns nothing."
        )
        return Sign("warning", cause, (shown,), (layer,), step, (STANDARDISE,))
    if spread >= _UNEVEN:
        uneven_evidence = Evidence("feature_spread", layer, step, spread, _UNEVEN,
                                   "curvature goes with a feature's scale squared (LeCun et al. 1998)")  # fmt: skip
        cause = f"the features that enter {layer} are {spread:.3g} times apart in scale, and the loss learns nothing."
        return Sign("warning", cause, (uneven_evidence,), (layer,), step, (STANDARDISE,))
    return None


_LOST = ("the loss is no longer finite", "the loss has left all that it began with")


def _harm(history: History, layer: str) -> tuple[str | None, tuple[Evidence, ...]]:
    """What has come of it, gravest first, and the evidence."""
    newest = history.step
    for name, level in history.losses.items():
        if not level.count and level.nonfinite_step is None:
            continue
        scale = _scale(history, name, level)
        if level.nonfinite_step is not None:
            evidence = Evidence("loss", name, level.nonfinite_step, level.newest, math.inf, "a loss must be finite")
            return _LOST[0], (evidence,)
        if not level.negative and level.count >= 6 and level.low > 10 * max(level.first, scale):
            evidence = Evidence("loss", name, newest, level.low, 10 * level.first, "ten times where it began")
            return _LOST[1], (evidence,)
    for name, level in history.losses.items():
        scale = _scale(history, name, level)
        if level.count and scale > 0 and level.early_size >= 10 * scale:
            source = "ten times what the best constant prediction scores (or, for squared errors, what zero scores)"
            evidence = Evidence("loss", name, level.first_step, level.early_size, 10 * scale, source)
            return f"the first losses reach {level.early_size / scale:.3g} times that of a constant prediction", (
                evidence,
            )
        if _stuck(level):
            evidence = Evidence("loss", name, newest, level.recent, level.first, "where it began")
            return "the loss learns nothing", (evidence,)
    # a rectifier passes the size on: the first activation with flat parts may come later
    for rows in history.first_layers("saturated_share")[:2]:
        flat = np.nan_to_num(rows.values)
        if len(flat) and flat.max() >= 0.5:
            where = rows.names[int(flat.argmax())]
            evidence = Evidence("saturated_share", where, rows.step, float(flat.max()), 0.5,
                                "half of its outputs are in the flat part")  # fmt: skip
            return f"the activation of {where} is saturated from the start", (evidence,)
    dead = history.layers("dead_share")
    if dead is not None and dead[layer] >= 0.5:
        evidence = Evidence(
            "dead_share", layer, dead.step, dead[layer], 0.5, "half of its units are off for every input"
        )
        return "most of its units are dead", (evidence,)
    return None, ()


def _scale(history: History, name: str, level: LossLevel) -> float:
    """What knowing nothing costs: the best constant, or zero where targets are real numbers (their mean square)."""
    _, sizes = history.series("target_rms", name)
    sizes = sizes[np.isfinite(sizes)]
    zero = float(np.median(np.square(sizes))) if len(sizes) else 0.0
    return max(level.constant, zero) if level.constant > 0 else math.nan


def _stuck(level: LossLevel) -> bool:
    return level.constant > 0 and level.count >= _ROWS and level.steps >= _STEPS and level.refreshed and level.stuck
