"""``non-finite``: NaN or infinity in the loss or in the weights.

IEEE 754 arithmetic has no way back from NaN: once a weight holds one, every later output that uses the weight is NaN.
So a non-finite weight, or a loss that is NaN, ends the training whatever else is true. A non-finite gradient alone does
not: dynamic loss scaling tries scales until one overflows and skips those steps (Micikevicius et al. 2018,
arXiv 1710.03740), and so do guards in scripts; it is an info as long as loss and weights stay finite. A single infinite
loss is a warning for the same reason, two in a row are critical.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import EventLike, History, Layers
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

RANGE_OF_FLOAT32 = Remedy(
    name="torch.bfloat16 in the place of torch.float16",
    why="has the range of float32, so that nothing over- or underflows; weights in float32 keep every update",
    how=(
        "# after: model\n"
        "import torch\n"
        "model.float()\n"
        "model.forward = torch.autocast(next(model.parameters()).device.type, torch.bfloat16)(model.forward)\n"
    ),
    apply="bfloat16",
)
FLOAT32 = Remedy(
    name="torch.float32 throughout",
    why="has 24 bits where bfloat16 has 8; half precision saves next to nothing in a model of this size",
    how=(
        "# after: model\n"
        "import torch\n"
        "model.float()\n"
        "model.forward = torch.autocast(next(model.parameters()).device.type, enabled=False)(model.forward)\n"
    ),
    apply="float32",
)
_SMALL = 10_000_000  # parameters: 40 MB in float32


def whole_range(history: History) -> tuple[Remedy, ...]:
    """The range of float32: with all of its bits first where the model is small."""
    sizes = [m.get("parameters", 0) for event in history.events("modules")[-1:] for m in event.data.get("modules", ())]
    return (FLOAT32, RANGE_OF_FLOAT32) if sum(sizes) < _SMALL else (RANGE_OF_FLOAT32,)


SAFE_SOFTMAX = Remedy(
    name="surefoot.nn.safe_softmax",
    why="a query whose keys are all masked then takes nothing from any, where 0/0 was NaN",
    how=(
        "# after: model\n"
        "import torch\n"
        "from surefoot.nn import safe_softmax\n"
        "def softmax_of_masked(scores, dim=-1, dtype=None):  # better: safe_softmax where the script masks its scores\n"
        "    return safe_softmax(scores if dtype is None else scores.to(dtype), dim)\n"
        "torch.Tensor.softmax = softmax_of_masked\n"
    ),
    apply="safe-softmax",
)
OFF_THE_EDGE = Remedy(
    name="arguments off the edge of a domain",
    why="√x and log x at 0, arccos x and artanh x at ±1 have an infinite slope (0 · ∞ is NaN), exp x overflows: a "
    "bound on x helps",
    how=(
        "# after: model\n"
        "import torch\n"
        "def bounded(plain):  # better: .clamp_min(1e-12) where the script takes the root or the logarithm\n"
        "    return lambda x: plain(x.clamp_min(1e-12) if x.requires_grad else x)\n"
        "torch.Tensor.sqrt, torch.Tensor.log = bounded(torch.Tensor.sqrt), bounded(torch.Tensor.log)\n"
    ),
    apply="safe-domain",
)
EDGES = frozenset(("log", "log2", "log10", "sqrt", "rsqrt", "pow", "acos", "asin", "atanh", "exp"))
_NO_WAY_BACK = "IEEE 754: NaN and infinity spread through every operation that reads them"
_NEAR = 32.0  # roundings
_TOLD = 2  # times that losses without a step are told of: at four times as many as a step has, at eight, at sixteen, …
_VALUES = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@rule("non-finite", needs=("step", "weights", "gradients", "events", "edges"))
def non_finite(history: History) -> Sign | None:
    """Loss NaN, loss infinite twice, or weights non-finite: critical; gradients alone: info. See the module.

    So it is where a guard keeps losses that are not finite from their backward, and no step comes any more: a warning
    at eight times as many losses as a step of the run has, critical at sixteen. And a warning before any of it where
    nothing keeps the argument of an arccosine, an arcsine or an artanh off ±1: see :func:`_at_the_edge`.
    """
    for name, level in history.losses.items():
        if level.nonfinite_step is not None and level.newest_step == history.step:
            certain = math.isnan(level.newest) or level.nonfinite_rows > 1
            return _sign(
                history, "critical" if certain else "warning", "loss", name, level.newest, level.nonfinite_step
            )
    if (sign := _untaken(history)) is not None:
        return sign
    weights = history.layers("weight_rms")
    if weights is not None and weights.step == history.step and _odd(weights, history.layers("update_rms")):
        update = history.layers("update_rms")
        # NaN in the record also says "not measured": believe it where the module's gradient is not finite either
        shares = history.layers("gradient_nonfinite")
        poisoned = shares if shares is not None and shares.step == history.step else None
        bad = [
            n
            for n, w in zip(weights.names, weights.values, strict=True)
            if math.isinf(w)
            or (math.isnan(w) and poisoned is not None and poisoned[n] > 0)
            or (update and math.isinf(update[n]))
        ]
        if bad:
            return _sign(history, "critical", "weight", bad[0], weights[bad[0]], history.step, tuple(bad))
    shares = history.layers("gradient_nonfinite")
    if shares is not None and shares.step == history.step and bool((shares.values > 0).any()):
        bad = [n for n, v in zip(shares.names, shares.values, strict=True) if v > 0]
        return _sign(history, "info", "gradient", bad[0], float(np.nanmax(shares.values)), history.step, tuple(bad))
    return _at_the_edge(history)


def _at_the_edge(history: History) -> Sign | None:
    """At two looks an argument was within 32 roundings of the edge of a domain, where the slope is infinite: it has
    five bits of 24 left, and at one step or another it has none.

    How soon? Where the arguments end at the edge as they do nearby, the chance of the last rounding of 32 is a 32nd (of
    a density that is flat there) to a 181st (of angles in space, 1/32^1.5) of what was seen twice in a few looks.
    """
    for function in history.wheres("edge_roundings"):
        steps, left = history.measured("edge_roundings", function)
        near = np.flatnonzero(left <= _NEAR)
        if len(near) < 2 or steps[-1] != history.step:
            continue
        least = float(left[near].min())
        cause = (
            f"what {function} is taken of came within {least:.3g} roundings of ±1, where its slope is infinite, and "
            f"within {_NEAR:g} at {len(near)} of {len(left)} looks; nothing keeps it off, and one that lies on the "
            "edge makes every weight NaN."
        )
        evidence = Evidence("edge_roundings", function, int(steps[near[-1]]), float(left[near[-1]]), _NEAR,
                            "five bits: the distance to 1 is a whole number of roundings, and 0 is one")  # fmt: skip
        return Sign("warning", cause, (evidence,), (), int(steps[near[0]]), (OFF_THE_EDGE, remedies.SKIP_NONFINITE))
    return None


def _untaken(history: History) -> Sign | None:
    told = history.events("untaken")
    here = [event for event in told if event.step == history.step == told[-1].step]
    if len(here) < _TOLD:
        return None
    data = here[-1].data
    value = _VALUES.get(str(data.get("value")), math.nan)
    sign = _sign(history, "warning" if len(here) == _TOLD else "critical", "loss", "", value, history.step)
    kept = f"; since then {data.get('losses')} losses were computed and no step was taken."
    return replace(sign, cause=sign.cause.removesuffix(".") + kept)


def _odd(*several: Layers | None) -> bool:
    return not all(layers is None or np.isfinite(layers.values).all() for layers in several)


def _sign(
    history: History,
    severity: Severity,
    kind: str,
    where: str,
    value: float,
    step: int,
    bad: tuple[str, ...] = (),
) -> Sign:
    culprit = _culprit(history)
    signal = {"loss": "loss", "weight": "weight_rms", "gradient": "gradient_nonfinite"}[kind]
    evidence = [Evidence(signal, where, history.step, value, 0.0 if kind == "gradient" else math.inf, _NO_WAY_BACK)]
    places: tuple[str, ...] = ()
    told = {"loss": "the loss", "weight": "the weights", "gradient": "the gradient"}[kind]
    shown = "not finite" if kind == "gradient" else "NaN" if math.isnan(value) else f"{value:g}"
    cause = f"{told} became {shown} at step {step}"
    if culprit is not None:
        data = culprit.data
        place, operation = str(data.get("where") or ""), str(data.get("operation") or "")
        places = (place,) if place else ()
        step = min(step, culprit.step)
        number = _VALUES.get(str(data.get("value")), math.nan)
        first = f"{data.get('value', 'nan')} in the {data.get('kind', 'loss')}"
        at = (f" of {place}" if place else "") + (f", made by {operation}" if operation else "")
        cause += f"; the first was {first}{at} at step {culprit.step}"
        evidence.append(Evidence(f"nonfinite {data.get('kind', '')}".strip(), place, culprit.step, number, math.inf,
                                 "first culprit, found with the weights still intact"))  # fmt: skip
    elif kind == "weight":
        places = bad[:1]
    if kind == "gradient":
        cause += "; loss and weights are still finite, as under dynamic loss scaling or a guard that skips the step"
    return Sign(severity, cause + ".", tuple(evidence), places, step, _cures(history))


def _cures(history: History) -> tuple[Remedy, ...]:
    """What answers the culprit, if it is known; whatever it was, weights that were sound stay so without that step."""
    first = answers(history)
    data = culprit.data if (culprit := _culprit(history)) is not None else {}
    if not first and not data.get("operation") and history.wheres("edge_roundings"):
        # nothing else made it, and nothing keeps this argument off an edge: to leave steps out would go on for ever
        return OFF_THE_EDGE, remedies.SKIP_NONFINITE, remedies.ANOMALY
    if not first and in_float16(history):
        first = whole_range(history)
    elif not first and data.get("kind") == "gradient":
        first = (OFF_THE_EDGE,)  # of a forward that is sound an infinite slope makes such a gradient
    return (*remedies.best_of((*first, remedies.SKIP_NONFINITE), "safe-domain"), remedies.ANOMALY)


def answers(history: History) -> tuple[Remedy, ...]:
    """The cure of the operation that made the first number that is not finite, if that is known."""
    data = culprit.data if (culprit := _culprit(history)) is not None else {}
    if data.get("operation") in ("softmax", "safesoftmax") and data.get("value") == "nan":
        return (SAFE_SOFTMAX,)  # of finite numbers or −∞ only one over nothing gives that
    return (OFF_THE_EDGE,) if data.get("operation") in EDGES and not in_float16(history) else ()


def in_float16(history: History) -> bool:
    """Some activations have float16's 65504 as their end."""
    peaks = history.first_layers("activation_peak")
    return bool(peaks) and not bool(np.isnan(peaks[0].values).all())


def _culprit(history: History) -> EventLike | None:
    """The event of the newest unbroken trouble: the first one recorded."""
    events = [e for e in history.events("nonfinite") if e.data.get("kind") != "gradient"] or history.events("nonfinite")
    return events[0] if events else None
