"""``exploding-gradient``: signal or gradient grows geometrically over depth, or the gradient jumps out of its own past.

At initialisation a layer multiplies the squared signal by χ∥ and the squared gradient by χ⊥ (Roberts, Yaida, Hanin
2022, arXiv 2106.10165); beyond criticality both compound over depth. For weights of piecewise linear networks the two
cancel in the gradient itself (a large signal times a small back-propagated error), so growth of the *activations* is
looked at as well: it is what makes the first loss absurd. The number without a unit is the elasticity ‖g‖‖θ‖/L: by how
many per cent the loss changes when the weights change by one per cent. Every layer of a homogeneous network
contributes ⟨θ,g⟩/L of order one (Euler's identity), so that it is about the depth in a healthy start: 0.5 to 120 were
measured.
"""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.depth import Profile, profile
from surefoot.findings.history import History, Layers
from surefoot.findings.levels import EARLY
from surefoot.findings.progress import settled
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.joined_layers import joined_layers
from surefoot.findings.rules.non_finite import EDGES, in_float16
from surefoot.findings.start import cures_of_start
from surefoot.findings.turned import told_by_rewards
from surefoot.runs.schema import Evidence, Remedy, Severity

_FORWARD = 10.0  # bits over depth
_BACKWARD = 6.0
_ELASTIC = 300.0
_JUMP = 100.0
_RANGE = 128.0  # bits: the largest power of two of float32
_PATIENCE = 48  # steps, as for learning-rate-too-low: before, no loss has had the time to learn
_START = 4 * EARLY  # steps in which the start is judged: its harm shows by then


@rule("exploding-gradient", needs=("gradients", "events"))
def exploding_gradient(history: History) -> Sign | None:
    """From the first look on: activations grow by 2¹⁰ over depth (and the first loss is ten times a constant's), or the
    gradient and the layers' shares of the elasticity grow by 2⁶ toward the input and elasticity is ≥ 300, or the first
    loss is a thousand times a constant's at elasticity ≥ 100, or ten times at elasticity ≥ 300 at two looks. After
    16 losses, unless the loss has come back by then: elasticity is ≥ 1000 and steps overshoot (twice, or once tenfold:
    so no clipping).

    At the first step, in weights as they were drawn: the signal leaves float32 on its way through the layers.

    Later: the gradient is a hundred times its own median, itself not zero, at two looks in a row, and steps overshoot,
    or all that was learned is lost.

    Warning; critical where the loss is already lost. With a remedy in place (``--apply``) a start is not told of while
    the loss stays below its first value.
    """
    sign = from_the_start(history) if history.step <= _START or history.looks("gradient_norm") <= 4 else None
    return sign or _beyond_float32(history) or _jump(history) or joined_layers(history, (remedies.AGC,))


def _harmed(history: History) -> bool:
    return any(
        level.nonfinite_step is not None or (level.known and settled(history, level) and level.recent > 2 * level.base)
        for level in history.losses.values()
    )


def _came_back(history: History, name: str) -> bool:
    """The loss does not stand above where it began, or it is too early to tell."""
    level = history.losses.get(name) or history.losses.get("")
    if level is None or level.nonfinite_step is not None:
        return False
    stuck = level.steps >= _PATIENCE and level.stuck
    return not settled(history, level) or not (level.recent > level.first or stuck)


def from_the_start(history: History) -> Sign | None:
    """Judges the first looks only, at whatever step; see :func:`exploding_gradient`."""
    if history.events("apply") and all(_came_back(history, name) for name in history.losses):
        return None  # a remedy is in place: what is wrong with the start is judged by what came of it
    harmed = _harmed(history)
    forward = [profile(history, layers) for layers in history.first_layers("activation_rms")]
    if forward and forward[0] is not None and forward[0].geometric and -forward[0].bits >= _FORWARD:
        absurd = [v.first >= 10 * v.constant for v in history.losses.values() if v.constant > 0 and v.count]
        if all(absurd) if absurd else -forward[0].bits >= 16:
            severity: Severity = "critical" if -forward[0].bits >= 20 or harmed else "warning"
            return _depth_sign(history, "activation_rms", forward[0], severity)
    for name, pace in history.paces.items():
        first = pace.first[0] if pace.first else None
        if first is None or first.step > _level_start(history, name) + 1:
            continue  # later looks may already show what the steps have done
        backward = [profile(history, layers) for layers in history.first_layers("gradient_rms")]
        grown = backward[0] if backward else None
        shares = _shares(history)
        if first.elasticity >= _ELASTIC and _grown(grown) and (shares is None or _grown(shares)):
            return _depth_sign(history, "gradient_rms", grown, "critical" if harmed else "warning")
        over = [s for s in pace.first if s.elasticity >= 1000 and s.overshoot >= 1]
        level = history.losses.get(name)
        if level is not None and level.negative:
            continue  # what it began at, 0 perhaps, says nothing of its size
        times = level.first / level.constant if level is not None and level.constant > 0 else 0.0
        twice = all(s.elasticity >= _ELASTIC for s in pace.first[:2]) and len(pace.first) >= 2
        far_off = (times >= 1000 and first.elasticity >= 100) or (times >= 10 and twice)
        far_off = far_off and not _of_order_one(history)
        overshoots = first in over and (len(over) >= 2 or first.overshoot >= 10)
        if far_off or (overshoots and not _came_back(history, name)):
            evidence = Evidence("gradient_norm · weight_norm / loss", name, first.step, first.elasticity, 1000.0,
                                "Euler's identity: of the order of the depth in a homogeneous network")  # fmt: skip
            cause = (
                f"the gradient is far too large from the start: a change of the weights by 0.1 % would change the loss "
                f"by {0.1 * first.elasticity:.3g} %, and the first step overshoots {first.overshoot:.3g} times."
            )
            where = (name,) if name else ()
            return Sign("critical" if harmed else "warning", cause, (evidence,), where, first.step, _cures(history))
    return None


def _of_order_one(history: History) -> bool:
    """Nothing that any layer makes at the first look is larger than 1: targets may be tiny, but no signal has grown."""
    rows = history.first_layers("activation_rms")
    sizes = rows[0].values[np.isfinite(rows[0].values)] if rows else np.empty(0)
    return bool(len(sizes) and sizes.max() <= 1)


def _grown(backward: Profile | None) -> TypeGuard[Profile]:
    return backward is not None and backward.geometric and backward.bits >= _BACKWARD


def _shares(history: History) -> Profile | None:
    """Over depth, what each layer adds to the elasticity, √N · gradient RMS times √N · weight RMS at its N parameters.

    The gradient of one weight is the larger the fewer a layer has and the more places share it: in a ResNet-50 as it
    is drawn 2⁵ of the 2⁷ between first and last convolutions are of that kind, and do nothing.
    """
    rows = [history.first_layers(signal) for signal in ("gradient_rms", "weight_rms")]
    if not all(rows):
        return None
    gradient, weight = rows[0][0], rows[1][0]
    sizes = np.array([history.module(name).get("parameters", 1) for name in gradient.names], dtype=float)
    weights = np.array([weight[name] for name in gradient.names])
    with np.errstate(invalid="ignore"):
        return profile(history, Layers(gradient.step, gradient.names, gradient.values * weights * sizes))


def _cures(history: History, grown: Profile | None = None, toward_output: bool = False) -> tuple[Remedy, ...]:
    return (*cures_of_start(history, grown, toward_output), remedies.CLIP)


def _level_start(history: History, name: str) -> int:
    level = history.losses.get(name) or history.losses.get("")
    return level.first_step if level is not None else 1


def _depth_sign(history: History, signal: str, grown: Profile, severity: Severity) -> Sign:
    toward = "output" if signal == "activation_rms" else "input"
    growth = float(2.0 ** abs(grown.slope))
    peak = int(np.argmax(grown.log2))
    first_step = history.first_layers(signal)[0].step
    evidence = (
        Evidence(signal, grown.names[peak], first_step, float(2.0 ** grown.log2[peak]),
                 float(2.0 ** (np.min(grown.log2) + (_FORWARD if signal == "activation_rms" else _BACKWARD))),
                 "at criticality the size over depth is constant (χ = 1; Roberts, Yaida, Hanin 2022)"),
        Evidence(f"{signal} growth a layer", grown.names[peak], first_step, growth, 1.0, "χ = 1 at criticality"),
    )  # fmt: skip
    what = "signal" if signal == "activation_rms" else "gradient"
    cause = (
        f"the initialisation explodes: the {what} grows by a factor {growth:.3g} with every layer toward the {toward}, "
        f"{float(2.0 ** abs(grown.bits)):.2g} in all."
    )
    cures = _cures(history, grown, toward_output=signal == "activation_rms")
    return Sign(severity, cause, evidence, grown.names[peak : peak + 1], first_step, cures)


def _beyond_float32(history: History) -> Sign | None:
    """Before any step was taken a layer's output was infinite, in float32, by sums and products alone: the layers have
    brought the data up to 2¹²⁸, by half of these bits or more."""
    told = history.events("nonfinite")
    data = told[0].data if told else {}
    layer = str(data.get("where") or "")
    if data.get("kind") != "activation" or told[0].step > 1 or str(data.get("value")) not in ("inf", "-inf"):
        return None
    if data.get("dtype") == "float16" or in_float16(history) or data.get("operation") in EDGES:
        return None  # too little range, or an infinite slope
    if not history.module(layer).get("depth"):
        return None  # the first layer, or none, whose input may be what is wrong
    given = history.first_layers("input_max")
    largest = float(np.nanmax(given[0].values, initial=0.0)) if given else 0.0
    if largest > 2.0 ** (_RANGE / 2):
        return None
    evidence = Evidence("nonfinite activation", layer, told[0].step, np.inf, 2.0**_RANGE,
                        "the range of float32; at criticality the size over depth is constant (χ = 1)")  # fmt: skip
    cause = (
        f"the initialisation explodes: the signal grows from {largest:.3g} at the input to beyond float32's 3.4e38 at "
        f"{layer}, before any step was taken."
    )
    return Sign("critical", cause, (evidence,), (layer,), told[0].step, _cures(history, toward_output=True))


def _jump(history: History) -> Sign | None:
    for name, pace in history.paces.items():
        strides = [s for s in pace.newest if np.isfinite(s.gradient_norm)]
        if len(strides) < 10 or strides[-1].step != history.step:
            continue
        last, past = strides[-2:], sorted(s.gradient_norm for s in strides[:-2])
        usual = past[len(past) // 2]
        if not usual > 0 or min(s.gradient_norm for s in last) < _JUMP * usual:
            continue
        if told_by_rewards(history) and max(s.gradient_norm for s in last) < 2 * past[-1]:
            continue  # a policy's gradient is nothing where answers agree, and comes back with the next question
        level = history.losses.get(name)
        lost = level is not None and level.count >= EARLY and level.low > level.base
        if not lost and not min(s.overshoot for s in last) >= 1:
            continue
        if level is not None and not level.stuck and level.recent < 0.5 * level.first:
            continue  # near the end of a fit single batches dominate; the loss has not noticed
        source = "the run's own history: a hundred times the median of the looks before"
        evidence = Evidence("gradient_norm", name, last[-1].step, last[-1].gradient_norm, _JUMP * usual, source)
        cause = (
            f"the gradient jumped to {last[-1].gradient_norm:.3g} at step {last[0].step}, from a median of {usual:.3g}."
        )
        severity: Severity = "critical" if _harmed(history) else "warning"
        cures = remedies.best_of((remedies.clip_at(2 * usual), remedies.AGC), "lr-search:factor=0.1")
        return Sign(severity, cause, (evidence,), (name,) if name else (), last[0].step, cures)
    return None
