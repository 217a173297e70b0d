"""The section of the report on a model that was inspected before its first step: flow by depth, against theory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from surefoot.report.cards import Place
from surefoot.report.flow import figures, float_of, floats
from surefoot.report.record import Record
from surefoot.report.wording import number

TEXT = "How signal and gradient change from layer to layer before any training."
THEORY = (
    " Theory (Roberts, Yaida, Hanin 2022) is of layers that follow each other with an activation alone between; it "
    "starts from the first measured signal and the last measured gradient. At a critical start both lines are level."
)
CRITICAL = 3.0  # bits over the whole depth, of the RMS: less than a factor of eight
NEAR = 0.25  # bits of the weights' variance, a fifth
SHRINKS = 0.1  # ε over the variance it is added to: the output is 5 % smaller
FLOAT16_MAX = 65504.0


def section(record: Record, place: Place) -> str:
    """Facts and figures; empty for a run that was not inspected."""
    told = facts(record)
    if not told:
        return ""
    rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in told)
    start = _start(record)
    drawn = figures(start) if start.get("layers") else []
    charts = "".join(f'<div class="panel">{place(figure, "")}</div><p></p>' for figure in drawn)
    text = f"<p>{TEXT}{THEORY if start['chain'] else ''}</p>" if charts else ""
    return f'<section id="start"><h2>Start</h2>{text}{charts}<div class="panel"><table>{rows}</table></div></section>'


def facts(record: Record) -> list[tuple[str, str]]:
    """What the inspection measured, as (label, text)."""
    if not record.inspected:
        return []
    start = _start(record)
    if not start:
        return _loss(record) + _from_graph(record)
    told = [("inputs", "; ".join(text for text in (start["inputs"], start["rows"]) if text))]
    if start["cotangent"]:
        told.append(("backward", "from random numbers at the output, for there are no targets: sizes are relative"))
    told += _loss(record)
    told += _criticality(record, start) + _flow(start)
    told.append(("effective depth", _residual(start)))
    told.append(("numbers", _numbers(start)))
    return [(label, text) for label, text in told if text]


def _loss(record: Record) -> list[tuple[str, str]]:
    signal = record.signal("loss")
    if signal is None:
        return []
    return [
        (f"loss {where}".rstrip(), number(value))
        for where in signal.wheres
        if not math.isnan(value := signal.last(where))
    ]


def _start(record: Record) -> Mapping[str, Any]:
    events = record.events("start")
    return events[-1].data if events else {}


def _from_graph(record: Record) -> list[tuple[str, str]]:
    """Of a script in whose forwards no layer was seen: what the graph of its first loss kept."""
    events = record.events("initialisation")
    if not events:
        return []
    data = events[-1].data
    activation = str(data.get("activation", ""))
    sizes = [float(v) for v in data.get("weight_variance", {}).values()]
    told = []
    if sizes:
        text = f"weight variance · fan-in is {number(float(np.median(sizes)))} (median of {len(sizes)} layers)"
        point = _known_point(activation)
        if point is not None:
            text += f"; {_where_critical(activation, point)}"
        told.append(("weights", text))
    for label, name, what in (("signal", "activation_rms", "outputs"), ("gradient", "gradient_rms", "weights")):
        if (signal := record.signal(name)) is not None:
            wheres = list(signal.wheres)
            told += _over_depth(label, f"RMS at the {what}", "modules", wheres, [signal.last(w) for w in wheres])
    told.append(
        ("flow", "no layer was seen in a forward of the script's that a gradient came back through, so only what its "
         "first loss keeps was read; surefoot inspect FILE.py:FUNCTION, with a function that returns (model, inputs, "
         "targets, loss_fn), tells more")
    )  # fmt: skip
    return told


def _known_point(activation: str) -> Mapping[str, Any] | None:
    from surefoot.init import critical_point  # loads torch, which a report does without
    from surefoot.init.activations import NAMED

    return asdict(critical_point(activation)) if activation in NAMED else None


def _where_critical(activation: str, point: Mapping[str, Any]) -> str:
    if point["kind"] == "none":
        return f"{activation} is critical for no weights"
    spread = float_of(point["C_b"])
    bias = f", with biases of variance {number(spread)}" if spread else ""
    return f"{activation} is critical at {number(float_of(point['C_W']), 4)}{bias}"


def _criticality(record: Record, start: Mapping[str, Any]) -> list[tuple[str, str]]:
    chain = start["chain"]
    if chain is None:
        text = "no three layers follow each other with an activation alone between: theory of chains has no say"
        known = _alone(record, start)
        return [("criticality", f"{text}{f'; {known}' if known else ''}")]
    names, depth = chain["names"], len(chain["names"])
    weights = number(float(np.median(floats(chain["C_W"])[1:])))
    par, perp = (_mean(floats(chain[key])) for key in ("chi_par", "chi_perp"))
    forward, backward = (_bits(floats(chain[key])) for key in ("forward", "backward"))
    theory = _bits(floats(chain["forward_theory"])), _bits(floats(chain["backward_theory"]))
    worst = max((abs(x) for x in (forward, backward) if math.isfinite(x)), default=0.0)
    apart = np.median(floats(chain["C_W"])[1:]) / float_of(chain["point"]["C_W"])
    if worst >= CRITICAL:
        word = "off criticality"
    elif abs(np.log2(apart)) < NEAR:
        word = "critical, near enough for this depth"
    else:
        word = "off criticality, with little effect at this depth"
    boosted = any(layer["name"] in names[1:] and layer.get("boost", 1.0) > 1 for layer in start["layers"])
    dropped = " / (1 − dropout)" if boosted else ""
    flow = (
        f"over {depth} layers ({names[0]} … {names[-1]}) the signal changes by {_factor(forward)} (theory "
        f"{_factor(theory[0])}), the gradient on its way back by {_factor(-backward)} (theory {_factor(-theory[1])})"
    )
    told = [
        ("criticality", f"{word}: {flow}"),
        ("weights", f"weight variance · fan-in{dropped} is {weights}; "
                    f"{_where_critical(chain['activation'], chain['point'])}; "
                    f"χ∥ {number(par)}, χ⊥ {number(perp)} a layer"),
    ]  # fmt: skip
    ratio, optimum = float_of(chain["ratio"]), float_of(chain["optimum"])
    if math.isfinite(optimum):
        std = float_of(chain["log_gradient_std"])
        if ratio >= 1:  # where fluctuations no longer are a correction
            word = "too deep for its width: every seed is a network of its own"
        elif std < 1:
            word = "the width carries it"
        else:
            word = "deep for its width: seeds differ much"
        told.append(
            ("depth", f"{word}; depth/width is {number(ratio)}, best for a plain chain {number(optimum)}; over seeds "
                      f"of a critical start ln of the squared gradient has a standard deviation of {number(std, 2)}")
        )  # fmt: skip
    return told


def _alone(record: Record, start: Mapping[str, Any]) -> str:
    """Where the commonest activation would be critical, and where the weights are."""
    events = record.events("initialisation")
    activation = str(events[-1].data.get("activation", "")) if events else ""
    point = _known_point(activation)
    if told := start.get("alone"):
        activation, point = told["activation"], told["point"]
    sizes = floats([layer["C_W"] for layer in start["layers"]])
    sizes = sizes[np.isfinite(sizes)]
    if point is None or not len(sizes):
        return ""
    return (
        f"with nothing else between, {_where_critical(activation, point)} (weight variance · fan-in); here the median "
        f"of {len(sizes)} layers is {number(float(np.median(sizes)))}"
    )


def _flow(start: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Signal and gradient over depth where the chain is not all of the model: over the residual stack if there is one,
    else over all layers.
    """
    layers, blocks = start["layers"], start.get("blocks", [])
    if start["chain"] is not None and len(start["chain"]["names"]) == len(layers):
        return []
    rows, what = (blocks, "residual blocks") if len(blocks) > 2 else (layers, "layers")
    told = []
    for label, which, size in (("signal", "forward", "RMS"), ("gradient", "backward", "norm")):
        values = floats([row[which] for row in rows])
        told += _over_depth(label, f"{size} at the outputs", what, [row["name"] for row in rows], values)
    return told


def _over_depth(label: str, size: str, of: str, names: Sequence[str], values: Any) -> list[tuple[str, str]]:
    """First, last, least and most of what is known; nothing of less than two."""
    known = [(name, number(float(value)), float(value)) for name, value in zip(names, values, strict=True)
             if math.isfinite(value)]  # fmt: skip
    if len(known) < 2:
        return []
    (first, one, _), (last, other, _) = known[0], known[-1]
    least, most = (number(end(value for *_, value in known)) for end in (min, max))
    return [(label, f"{size} of {len(known)} {of}: {one} in {first}, {other} in {last}; between {least} and {most}")]


def _residual(start: Mapping[str, Any]) -> str:
    ratios = [float_of(v) for v in start["residual"].values()]
    if not ratios:
        return ""
    share = float_of(start.get("longer_paths"))  # of what the blocks would leave out side by side
    longer = f"; {100 * share:.3g} % of the weight is on paths through two or more" if math.isfinite(share) else ""
    return (
        f"{len(ratios)} blocks add to their input, {number(float(np.median(ratios)))} of its size each (median): "
        f"a path goes through about {number(float_of(start['path_depth']), 2)} of them{longer}"
    )


def _numbers(start: Mapping[str, Any]) -> str:
    peak = float_of(start["peak"])
    text = f"largest output {number(peak)} in {start['peak_at'] or 'the model'}"
    if not peak < FLOAT16_MAX:
        text += ": more than float16 holds (65504)"
    elif peak > FLOAT16_MAX / 16:
        text += ": near what float16 holds (65504)"
    small = start.get("gradients")
    if small and small["tensors"]:
        text += f"; smallest gradient RMS {number(float_of(small['smallest']))} in {small['smallest_at']}"
        below = len(small["below_eps"])
        if below:
            text += f": Adam's ε of 1e-8 is above {below} of {small['tensors']} gradients and shortens their steps"
        flushed = float_of(small["flushed"])
        if flushed > 0.01:
            text += f"; float16 without loss scaling would make {100 * flushed:.2g} % of the gradients 0"
    norm = start.get("norms")
    if norm and float_of(norm["eps"]) > SHRINKS * float_of(norm["variance"]):
        ratio = float_of(norm["eps"]) / float_of(norm["variance"])
        text += (
            f"; ε of {norm['name']}, {number(float_of(norm['eps']))}, against a variance of "
            f"{number(float_of(norm['variance']))} makes its output {number(math.sqrt(1 + ratio))} times smaller than "
            "normalised"
        )
    half = start.get("half")
    if half:
        least = float_of(half["rms"]) * (2.0**-9 if half["dtype"] == "bfloat16" else 2.0**-12)
        text += (
            f"; {half['tensors']} weights are {half['dtype']}: steps below {number(least)} (half a spacing at their "
            "RMS) are rounded away, so keep a float32 copy or round at random"
        )
    return text


def _mean(values: np.ndarray) -> float:
    """Geometric, over the layers that have one."""
    good = values[np.isfinite(values) & (values > 0)]
    return float(np.exp(np.log(good).mean())) if len(good) else math.nan


def _bits(values: np.ndarray) -> float:
    """log2 of the last over the first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log2(values[-1]) - np.log2(values[0]))


def _factor(bits: float) -> str:
    return number(2.0**bits) if math.isfinite(bits) and abs(bits) < 300 else "an unknown factor"
