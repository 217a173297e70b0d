"""The section of the report on a model that was inspected before its first step: flow by depth, against theory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from surefoot.report.cards import Place
from surefoot.report.figures import Figure, packed, plain
from surefoot.report.record import Record
from surefoot.report.wording import number

TEXT = (
    "How signal and gradient change from layer to layer before any training. Theory (Roberts, Yaida, Hanin 2022) is of "
    "layers that follow each other with an activation alone between; it starts from the first measured signal and the "
    "last measured gradient. At a critical start both lines are level."
)
CRITICAL = 3.0  # bits over the whole depth, of the RMS: less than a factor of eight
FLOAT16_MAX = 65504.0


def section(record: Record, place: Place) -> str:
    """Facts and figures; empty for a run that was not inspected."""
    told = facts(record)
    if not told:
        return ""
    rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in told)
    start = _start(record)
    charts = ""
    if start.get("layers"):
        drawn = [_figure(start, which) for which in ("forward", "backward")]
        charts = "".join(
            f'<div class="panel">{place(figure, "")}</div><p></p>' for figure in drawn if figure is not None
        )
    return (
        f'<section id="start"><h2>Start</h2>{f"<p>{TEXT}</p>" if charts else ""}{charts}'
        f'<div class="panel"><table>{rows}</table></div></section>'
    )


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
    told += _criticality(start)
    told.append(("residual", _residual(start)))
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
    """Of a script that was stopped: what the graph of its first loss kept."""
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
    told.append(
        ("flow", "of a script only what its first loss keeps was read; surefoot inspect FILE.py:FUNCTION, with a "
         "function that returns (model, inputs, targets, loss_fn), tells more")
    )  # fmt: skip
    return told


def _known_point(activation: str) -> Mapping[str, Any] | None:
    from surefoot.init import critical_point  # loads torch, which a report does without
    from surefoot.init.activations import NAMED

    return asdict(critical_point(activation)) if activation in NAMED else None


def _where_critical(activation: str, point: Mapping[str, Any]) -> str:
    if point["kind"] == "none":
        return f"{activation} is critical for no weights"
    spread = _float(point["C_b"])
    bias = f", with biases of variance {number(spread)}" if spread else ""
    return f"{activation} is critical at {number(_float(point['C_W']), 4)}{bias}"


def _criticality(start: Mapping[str, Any]) -> list[tuple[str, str]]:
    chain = start["chain"]
    if chain is None:
        text = "no three layers follow each other with an activation alone between: theory of chains has no say"
        return [("criticality", text)]
    names, depth = chain["names"], len(chain["names"])
    weights = number(float(np.median(_floats(chain["C_W"])[1:])))
    par, perp = (_mean(_floats(chain[key])) for key in ("chi_par", "chi_perp"))
    forward, backward = (_bits(_floats(chain[key])) for key in ("forward", "backward"))
    theory = _bits(_floats(chain["forward_theory"])), _bits(_floats(chain["backward_theory"]))
    worst = max((abs(x) for x in (forward, backward) if math.isfinite(x)), default=0.0)
    word = "critical, near enough for this depth" if worst < CRITICAL else "off criticality"
    flow = (
        f"over {depth} layers ({names[0]} … {names[-1]}) the signal changes by {_factor(forward)} (theory "
        f"{_factor(theory[0])}), the gradient on its way back by {_factor(-backward)} (theory {_factor(-theory[1])})"
    )
    told = [
        ("criticality", f"{word}: {flow}"),
        ("weights", f"weight variance · fan-in is {weights}; {_where_critical(chain['activation'], chain['point'])}; "
                    f"χ∥ {number(par)}, χ⊥ {number(perp)} a layer"),
    ]  # fmt: skip
    ratio, optimum = _float(chain["ratio"]), _float(chain["optimum"])
    if math.isfinite(optimum):
        std = _float(chain["log_gradient_std"])
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


def _residual(start: Mapping[str, Any]) -> str:
    ratios = [_float(v) for v in start["residual"].values()]
    if not ratios:
        return ""
    return (
        f"{len(ratios)} blocks add to their input, {number(float(np.median(ratios)))} of its size each (median): "
        f"a path goes through about {number(_float(start['path_depth']), 2)} of them"
    )


def _numbers(start: Mapping[str, Any]) -> str:
    peak = _float(start["peak"])
    text = f"largest output {number(peak)} in {start['peak_at'] or 'the model'}"
    if not peak < FLOAT16_MAX:
        text += ": more than float16 holds (65504)"
    elif peak > FLOAT16_MAX / 16:
        text += ": near what float16 holds (65504)"
    small = start.get("gradients")
    if small and small["tensors"]:
        text += f"; smallest gradient RMS {number(_float(small['smallest']))} in {small['smallest_at']}"
        below = len(small["below_eps"])
        if below:
            text += f": Adam's ε of 1e-8 is above {below} of {small['tensors']} gradients and shortens their steps"
        flushed = _float(small["flushed"])
        if flushed > 0.01:
            text += f"; float16 without loss scaling would make {100 * flushed:.2g} % of the gradients 0"
    return text


def _figure(start: Mapping[str, Any], which: str) -> Figure | None:
    """RMS over depth on a logarithmic axis; the theory's line where there is one."""
    layers = start["layers"]
    names = [layer["name"] for layer in layers]
    measured = _floats([layer[which] for layer in layers])
    if not np.isfinite(measured).any() or len(names) < 2:
        return None
    data = [_trace(names, np.arange(len(names)), measured, "measured", {})]
    chain = start["chain"]
    if chain is not None:
        at = np.array([names.index(name) for name in chain["names"]])
        data.append(_trace(chain["names"], at, _floats(chain[f"{which}_theory"]), "theory", {"dash": "dash"}))
    title = "Signal: RMS of each layer's output" if which == "forward" else "Gradient: its norm at each layer's output"
    layout = {
        "height": 300,
        "title": {"text": title},
        "xaxis": {"title": {"text": "layer, in order of depth"}},
        "yaxis": {"type": "log"},
        "showlegend": len(data) > 1,
    }
    return {"data": data, "layout": layout}


def _trace(names: list[str], at: np.ndarray, values: np.ndarray, label: str, dashes: dict[str, str]) -> Figure:
    good = np.flatnonzero(np.isfinite(values) & (values > 0))
    return {
        "type": "scatter",
        "mode": "lines" if dashes else "lines+markers",
        "name": label,
        "x": packed(at[good]),
        "y": packed(values[good]),
        "text": [plain(names[i]) for i in good],
        "line": dashes,
        "hovertemplate": f"%{{text}}: %{{y:.4g}}<extra>{label}</extra>",
    }


def _floats(values: Any) -> np.ndarray:
    return np.array([_float(v) for v in values], dtype=np.float64)


def _float(value: Any) -> float:
    """A number of the record, where those that are not finite are strings."""
    return float(value) if value is not None else math.nan


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
