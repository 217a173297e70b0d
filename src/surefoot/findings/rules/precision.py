"""``low-precision-underflow``, ``low-precision-overflow`` and ``amp-step-skipping``: what half a word can hold.

float16 reaches from 2⁻²⁴ (below 2⁻¹⁴ with fewer bits) to 65504; bfloat16 has the range of float32 but 8 bits, so that a
weight changes only by steps of 2⁻⁸ of its size. Loss scaling shifts gradients up into float16's range; a dynamic scale
halves with each overflow and doubles after ``growth_interval`` good steps (Micikevicius et al. 2018, arXiv 1710.03740).
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import EventLike, History, Layers
from surefoot.findings.progress import fit, stuck_for
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.non_finite import OFF_THE_EDGE, answers, whole_range
from surefoot.findings.rules.overflow import overflowed_at_last, overflowed_between
from surefoot.findings.rules.swallowed import swallowed
from surefoot.findings.rules.term_cures import UNIT_TARGETS, far_targets
from surefoot.runs.schema import Evidence, Remedy, Severity

GRAD_SCALER = Remedy(
    name="torch.amp.GradScaler",
    why="multiplies the loss so that small gradients are inside float16's range, and divides again before the step",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "scaler = torch.amp.GradScaler(next(model.parameters()).device.type)\n"
        "# then: scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()\n"
    ),
)
FIND_NONFINITE = Remedy(
    name="look for the NaN without scaling",
    why="a gradient that is NaN at every scale is no overflow: one step in float32 shows where it comes from",
    how=(
        "# replace: optimizer.step()\n"
        "import torch\n"
        "bad = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]\n"
        'print("not finite:", bad)\n'
        "optimizer.step()\n"
    ),
)
_LOOKS = 3
_MOST = 0.9
_SHORT = 24  # steps
_QUANTUM, _BITS = 2.0**-24, 3.0  # the smallest number of float16
_SUBNORMAL = (
    "share of the non-zero gradients below 2⁻¹⁴, where float16 loses a bit with each halving; in healthy training loss "
    "scaling keeps it near 0 (Micikevicius et al. 2018, §3.2)"
)


@rule("low-precision-underflow", needs=("precision", "weights", "gradients"))
def low_precision_underflow(history: History) -> Sign | None:
    """Gradients at float16's floor, or updates below the resolution of float16 and bfloat16 weights, three looks in a
    row and in nine tenths of a layer's elements: info. Warning where the loss learns nothing (for updates, where
    float32 weights would move); for updates also where a loss that is no fit hardly falls under a sixteenth, or less,
    of what the run's first steps promised for their rate and gradient; for gradients also where some layers have got
    nearly none from the first looks on, at a loss that is not fit, while others do; or where no loss scaler is there
    and all layers were at the floor from the first look on, and most are down to three bits.
    """
    return _flushed(history) or _nothing_left(history) or swallowed(history)


def _nothing_left(history: History) -> Sign | None:
    """Every gradient is exactly zero, at a loss that is not, where activations are float16."""
    peaks = history.layers("activation_peak")
    names = [n for n, v in zip(peaks.names, peaks.values, strict=True) if np.isfinite(v)] if peaks is not None else []
    for name in history.wheres("gradient_norm") if names else ():
        steps, norms = history.series("gradient_norm", name)
        level = history.losses.get(name)
        if len(norms) < _LOOKS or norms[-_LOOKS:].any() or level is None or not level.newest > 0:
            continue
        zero = "float16 is 0 below 2⁻²⁵"
        evidence = (Evidence("gradient_norm", name, int(steps[-1]), 0.0, 2.0**-25, zero),)
        cause = f"gradients are too small for float16: all of them are exactly zero, at a loss of {level.newest:.3g}."
        began = int(steps[np.flatnonzero(norms)[-1] + 1]) if norms.any() else int(steps[0])
        severity: Severity = "info" if level.learned else "warning"
        return Sign(severity, cause, evidence, tuple(names), began, (*whole_range(history), GRAD_SCALER))
    return None


def _flushed(history: History) -> Sign | None:
    recent = _pairs(history, _LOOKS)
    if len(recent) < _LOOKS:
        return None
    at_floor = np.array([f for f, _ in (_floor(z, s) for z, s in recent)])
    if not at_floor[-1].any():
        return None
    names = recent[-1][0].names
    if any(z.names != names for z, _ in recent):
        return None
    # a layer whose gradients are all zero counts where another's show that they are at the floor
    low: np.ndarray = np.all([f | a for f, a in (_floor(z, s) for z, s in recent)], axis=0)
    if not low.any() or not at_floor.any(axis=1).all():
        return None
    zeros, subnormal = recent[-1]
    silent = _silent_from_the_start(history, names)
    stuck = stuck_for(history, _SHORT)
    worn = _worn(history)
    where = tuple(n for n, is_low in zip(names, low, strict=True) if is_low)
    severity: Severity = "warning" if stuck or worn or (silent and not fit(history)) else "info"
    if silent and not stuck and not worn and severity == "warning":
        where = silent
    of_rest = np.where(zeros.values < 1, subnormal.values / np.maximum(1 - zeros.values, 1e-9), 0.0)
    worst = names[int(np.nanargmax(np.where(at_floor[-1], of_rest, -1.0)))]
    evidence = (
        Evidence("gradient_subnormal_share / (1 − gradient_zero_share)", worst, zeros.step,
                 float(of_rest[names.index(worst)]), _MOST, _SUBNORMAL),
        Evidence("gradient_zero_share", where[0], zeros.step, zeros[where[0]], _MOST, "exact zeros: flushed"),
    )  # fmt: skip
    began = _began(history, names)
    left = "few bits" if not worn else f"{worn:.2g} bits, of 11"
    cause = (
        f"gradients are too small for float16: in {', '.join(where[:3])}{' …' if len(where) > 3 else ''} "
        f"{100 * zeros[where[0]]:.3g} % of them are exactly zero and what is left has {left}."
    )
    return Sign(severity, cause, evidence, where, began, (*whole_range(history), GRAD_SCALER))


def _worn(history: History) -> float:
    """Bits that are left of the middle layer's gradients at the newest two looks, where that is three at most, and all
    layers have been at the floor since the first look (so that it is not a fit that has made them small), with nothing
    that scales the loss; else 0. At three bits a value is off by 6 % on either side, and those half as large by 12."""
    if any(history.value("loss_scale", where) > 0 for where in history.wheres("loss_scale")):
        return 0.0
    firsts = zip(history.first_layers("gradient_zero_share"), history.first_layers("gradient_subnormal_share"),
                 strict=True)  # fmt: skip
    known = [(floor | none)[~np.isnan(z.values)] for z, s in firsts for floor, none in [_floor(z, s)]]
    if not known or not all(k.size and k.all() for k in known):
        return 0.0
    half = history.layers("gradient_zero_share")
    rows = history.recent_layers("gradient_rms", 2)
    if half is None or len(rows) < 2 or any(row.names != half.names for row in rows):
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        bits = [float(np.nanmedian(np.log2(row.values[~np.isnan(half.values)] / _QUANTUM))) for row in rows]
    return max(max(bits), 1e-3) if max(bits) <= _BITS else 0.0


def _floor(zeros: Layers, subnormal: Layers) -> tuple[np.ndarray, np.ndarray]:
    """Layers whose non-zero gradients are mostly subnormal, and those without any that is not zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return subnormal.values / (1 - zeros.values) >= _MOST, zeros.values >= 1


def _pairs(history: History, n: int) -> list[tuple[Layers, Layers]]:
    zeros = history.recent_layers("gradient_zero_share", n)
    return list(zip(zeros, history.recent_layers("gradient_subnormal_share", n), strict=True))


def _silent_from_the_start(history: History, names: tuple[str, ...]) -> tuple[str, ...]:
    """Layers that had nearly only zeros at the first looks and have now, and not all of them."""
    firsts = list(zip(history.first_layers("gradient_zero_share"), history.first_layers("gradient_subnormal_share"),
                      strict=True))  # fmt: skip
    silent = np.ones(len(names), dtype=bool)
    for zeros, subnormal in (*firsts[:_LOOKS], *_pairs(history, _LOOKS)):
        if zeros.names != names:
            return ()
        floor, none = _floor(zeros, subnormal)
        if not floor.any():
            return ()
        silent &= (zeros.values >= _MOST) & (floor | none)
    return tuple(n for n, s in zip(names, silent, strict=True) if s) if not silent.all() else ()


def _began(history: History, names: tuple[str, ...]) -> int:
    firsts = history.first_layers("gradient_zero_share")
    subnormal = history.first_layers("gradient_subnormal_share")
    if firsts and _floor(firsts[0], subnormal[0])[0].any():
        return firsts[0].step
    return history.recent_layers("gradient_zero_share", _LOOKS)[0].step


_NEAR = 0.5
_LARGEST = 65504.0
_CONVERTED = "the largest number of float16; the first op that met it had it as data"
_ONE_DOUBLING = "share of 65504, the largest number of float16: one doubling is left"


@rule("low-precision-overflow", needs=("activations", "events", "precision", "overflow"))
def low_precision_overflow(history: History) -> Sign | None:
    """A float16 activation is infinite, or above half of float16's largest number at two looks in a row; the same for
    gradients where no loss scaler is there to skip the step; or some sum or product of the forward has given infinities
    of finite numbers at two looks. Warning; critical where the loss is no longer finite, and
    where what the loss was computed from was infinite in float16 before the model or the loss had met it: a conversion
    has made it so of any number beyond 65504; and where the first number that was not finite is an infinity in float16
    that no pole has made.

    With a scaler gradients are meant to come near: it raises the scale until they do.
    """
    data = overflowed_data(history)
    if data:
        layer = str(data[0].data.get("where", ""))
        evidence = (Evidence("nonfinite data in float16", layer, data[0].step, math.inf, _LARGEST, _CONVERTED),)
        cause = f"float16 overflows: data of step {data[0].step} are infinite, as any number beyond 65504 is in it."
        return Sign("critical", cause, evidence, (layer,) if layer else (), data[0].step, _in_range(history))
    cures = _in_range(history)
    if (sign := overflowed_between(history, cures) or overflowed_at_last(history, cures)) is not None:
        return sign
    scaled = any(history.value("loss_scale", where) > 0 for where in history.wheres("loss_scale"))
    for signal in ("activation_peak",) if scaled else ("activation_peak", "gradient_peak"):
        recent = history.recent_layers(signal, 2)
        if not recent:
            continue
        newest = recent[-1]
        near = newest.values >= _NEAR
        if len(recent) < 2 or recent[0].names != newest.names:
            near &= np.isinf(newest.values)
        else:
            near &= (recent[0].values >= _NEAR) | np.isinf(newest.values)
        if not near.any():
            continue
        where = tuple(n for n, is_near in zip(newest.names, near, strict=True) if is_near)
        lost = any(level.nonfinite_step is not None for level in history.losses.values())
        what = signal.removesuffix("_peak")
        value = newest[where[0]]
        cause = (
            f"float16 overflows: the largest {what} of {where[0]} is beyond 65504."
            if np.isinf(value)
            else f"float16 is about to overflow: the largest {what} of {where[0]} is {100 * value:.3g} % of 65504."
        )
        evidence = (Evidence(signal, where[0], newest.step, value, _NEAR, _ONE_DOUBLING),)
        return Sign("critical" if lost else "warning", cause, evidence, where, recent[0].step,
                    (*_in_range(history), remedies.CLIP))  # fmt: skip
    return None


def _in_range(history: History) -> tuple[Remedy, ...]:
    """More range; where targets are what is large, a network that was to grow to them in float32, too, is slow."""
    wider = whole_range(history)
    return (
        remedies.best_of((*wider, UNIT_TARGETS), f"{wider[0].apply}+{UNIT_TARGETS.apply}")
        if far_targets(history)
        else wider
    )


def overflowed_data(history: History) -> list[EventLike]:
    """Infinities that the loss met as data, in float16."""
    return [
        event
        for event in history.events("nonfinite")
        if event.data.get("kind") == "input"
        and event.data.get("dtype") == "float16"
        and str(event.data.get("value")) in ("inf", "-inf")
    ]


_HOPELESS = 32  # skipped steps in a row: from 65536 the scale is then 2⁻¹⁶
_TINY = 2.0**-16
_SCALE = (
    "below 1 the scale no longer helps: even the unscaled gradient overflows, or it is NaN (a dynamic scale halves "
    "with each overflow; Micikevicius et al. 2018)"
)


_WASTED = 64  # no more than 40 are needed to come down to 1 from 2⁴⁰


@rule("amp-step-skipping", needs=("events", "scaler"))
def amp_step_skipping(history: History) -> Sign | None:
    """The loss scale has fallen below 1, by its own value or by what the skipped steps leave of it: warning. 32 steps
    skipped in a row, so that no scale helps: critical. Two of three steps skipped, and 64 in all: warning, whatever the
    scale, for it never finds one that lasts.

    That a scaler skips steps is how it finds its scale: about 16 at the start, and one in ``growth_interval`` after.
    """
    told = history.events("skipped")
    newest = told[-1].data if told else {}
    row = int(newest.get("in_a_row", 0))
    for name in history.wheres("loss_scale") or ("",):
        scale = history.value("loss_scale", name)
        measured = 0 < scale < 1
        implied = float(newest.get("scale_bound", 1.0)) if newest.get("optimizer", name) == name else 1.0
        now = bool(told) and told[-1].step >= history.step - 1
        total, taken = int(newest.get("total", 0)), int(newest.get("taken", 0))
        if now and not measured and implied >= 1 and total >= max(_WASTED, 2 * taken):
            return _wasted(history, name, told[0].step, total, taken)
        if not measured and not (implied < 1 and now):
            continue
        hopeless = row >= _HOPELESS and now
        step = history.step if measured else told[-1].step
        value = scale if measured else implied
        evidence = (
            Evidence("loss_scale", name, step, value, 1.0, _SCALE),
            Evidence("skipped_steps", name, step, float(newest.get("total", np.nan)), 16.0,
                     "steps that a scale of 65536 takes to come down to 1"),
        )  # fmt: skip
        first = told[0].step if told else step
        cause = (
            f"the gradient scaler skips steps at any scale: {int(newest.get('total', 0))} so far, scale {value:.2g}."
        )
        if hopeless:
            cause = f"no step is taken any more: the gradient scaler has skipped {row} in a row, at any scale."
        # the operation that gave NaN, where it is known; else it is float16 that overflows, unless the loss was finite
        # and no scale helped: what is not finite at 2⁻¹⁶ of its size is an infinite slope
        edge = answers(history) or ((OFF_THE_EDGE,) if _at_any_scale(history) else ())
        in_range = remedies.best_of((*edge, *whole_range(history)), "safe-domain")
        cures = (*in_range, remedies.ANOMALY, FIND_NONFINITE)
        return Sign("critical" if hopeless else "warning", cause, evidence, (name,) if name else (), first, cures)
    return None


def _wasted(history: History, name: str, first: int, total: int, taken: int) -> Sign:
    source = "steps that a scaler which grows once in a while throws away to find its scale are 40 at most"
    evidence = Evidence("skipped_steps", name, first, float(total), float(_WASTED), source)
    cause = (
        f"the gradient scaler threw {total} steps away and took {taken}: it raises the scale as soon as one comes "
        "through, or lowers it too little each time."
    )
    cures = (*whole_range(history), GRAD_SCALER)
    return Sign("warning", cause, (evidence,), (name,) if name else (), first, cures)


def _at_any_scale(history: History) -> bool:
    """Steps were skipped at 2⁻¹⁶ of the gradient's size, before anything but a gradient was not finite."""
    skipped = [e.step for e in history.events("skipped") if float(e.data.get("scale_bound", 1.0)) <= _TINY]
    broken = [e.step for e in history.events("nonfinite") if e.data.get("kind") != "gradient"]
    return bool(skipped) and min(broken, default=skipped[0] + 1) > skipped[0]
