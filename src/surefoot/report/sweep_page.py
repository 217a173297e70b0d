"""A sweep on one HTML page: loss over learning rate for each size, sensitivity, forecasts, and every run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.analysis.scaling import extrapolate
from surefoot.plots import SERIES
from surefoot.report.comparison_page import table
from surefoot.report.figures import Figure, packed, plain
from surefoot.report.html import Canvas, document, put
from surefoot.report.wording import count, number, seconds

MAX_RUNS = 2_000
DRAWN = (1e-37, 1e37)  # what float32 holds
CURVES = (
    "Loss at the end over the learning rate, one line a size. A cross is a run that diverged, stopped early or failed; "
    "it stands at the loss of the first step, which is what it counts for in S."
)
SENSITIVITY = "S is what a wrong learning rate costs: mean over the rates of min(loss, first loss), less the best loss."
FORECASTS = (
    "Each number at one step of all sizes, the last up to which all runs of a rate were looked at; lines are power "
    "laws. In brackets is the interval of the fit (90 %), which takes for granted that the law goes on: any size, "
    "where the points are too few or too scattered to say."
)


def write(sweep: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page; it is replaced in one go."""
    return put(page(sweep), path)


def page(sweep: Mapping[str, Any]) -> str:
    """The page of what ``sweep.json`` holds, as a string."""
    canvas = Canvas()
    sections = [
        ("curves", "Loss and learning rate", _curves(sweep, canvas)),
        ("forecast", "Forecast", _forecast(sweep, canvas)),
        ("runs", "Runs", _runs(sweep)),
    ]
    facts = {
        "Runs": tally(sweep),
        "Loss": str(sweep["loss"]),
        "Held-back size": held_back(sweep["held_back"]),
    }
    items = "".join(f'<div><dt>{name}</dt><dd class="wrap">{escape(text)}</dd></div>' for name, text in facts.items())
    header = (
        '<header class="verdict none"><div class="head"><div class="bar"><span class="brand">surefoot</span></div>'
        f'<h1><span class="word">sweep</span> <span class="script">{escape(sweep["command"])}</span></h1>'
        f'<dl class="facts">{items}</dl></div></header>'
    )
    return document("sweep", header, sections, canvas, "from the records of the runs in this folder")


def tally(sweep: Mapping[str, Any]) -> str:
    """``18 finished, 2 diverged``."""
    states = [run["state"] for run in sweep["runs"]]
    known = {state: states.count(state) for state in ("finished", "diverged", "failed", "missing")}
    return ", ".join(f"{amount} {state}" for state, amount in known.items() if amount)


def crossing(forecast: Mapping[str, Any]) -> str:
    """Where the limit is met, in words: ``at 3e7 (1e6 to ∞)``."""
    size, soonest, latest = (float(forecast["crossing"][key]) for key in ("size", "soonest", "latest"))
    if forecast["state"] == "crossed":
        return f"crossed at {parameters(float(forecast['crossed_at']))}"
    # an interval that begins inside the sweep, where the limit was not met, has nothing to say
    known = soonest > max(map(float, forecast["sizes"]))
    if forecast["state"] == "ahead":
        return f"at {parameters(size)} ({f'{parameters(soonest)} to {parameters(latest)}' if known else 'any size'})"
    return (
        "not in sight"
        if math.isinf(soonest)
        else f"not in sight ({f'from {parameters(soonest)}' if known else 'any size'})"
    )


def parameters(size: float) -> str:
    """``64.2k``, ``1.5M``, ``3B``; ``∞`` for what lies beyond all that was searched."""
    if not math.isfinite(size):
        return "∞"
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{name}"
    return f"{size:.0f}"


def held_back(held: Mapping[str, Any]) -> str:
    """How well the largest size was foreseen from the others, in words."""
    if not held["checks"]:
        return "not checked: it takes three sizes"
    intervals = held["intervals"]
    inside = f"{held['inside']} of {intervals} inside the interval" if intervals else "two sizes give no interval"
    return (
        f"foreseen within a factor {number(float(held['median_factor']))} (median of {held['checks']}, worst "
        f"{number(float(held['largest_factor']))}), {inside}"
    )


def _curves(sweep: Mapping[str, Any], canvas: Canvas) -> str:
    curves = sweep["curves"]
    rows = [
        [
            escape(curve["size"] or "all"),
            parameters(float(curve["parameters"])) if curve["parameters"] != "nan" else "–",
            number(float(curve["first_loss"])),
            *_best(curve),
            number(float(curve["sensitivity"])) if curve["sensitivity"] != "nan" else "–",
        ]
        for curve in curves
    ]
    heads = ("Size", "Parameters", "First loss", "Best loss", "at rate", "S")
    body = f'<div class="panel">{table(heads, rows, numbers=5)}<p>{SENSITIVITY}</p></div>'
    if sweep["rate"]:
        body = f'<div class="panel">{canvas.place(_loss_figure(curves), "")}</div><p></p>' + body
    return f'<section id="curves"><h2>Loss and learning rate</h2><p>{CURVES}</p>{body}</section>'


def _best(curve: Mapping[str, Any]) -> tuple[str, str]:
    known = [point for point in curve["points"] if isinstance(point["loss"], float | int)]
    if not known:
        return "–", "–"
    best = min(known, key=lambda point: point["loss"])
    return number(best["loss"]), escape(best["rate"]) or "–"


def _loss_figure(curves: Sequence[Mapping[str, Any]]) -> Figure:
    data: list[Figure] = []
    for i, curve in enumerate(curves):
        colour, first = SERIES[i % len(SERIES)], float(curve["first_loss"])
        rates = np.array([float(point["rate"]) for point in curve["points"]])
        lost = np.array([not isinstance(point["loss"], float | int) for point in curve["points"]])
        losses = np.array([min(float(point["loss"]), first) if not gone else first for point, gone in
                           zip(curve["points"], lost, strict=True)])  # fmt: skip
        name = plain(curve["size"] or "loss")
        shown = {"type": "scatter", "x": packed(rates), "y": packed(losses), "name": name, "legendgroup": name}
        data.append(
            {
                **shown,
                "mode": "lines+markers",
                "line": {"color": colour},
                "marker": {"symbol": ["x" if gone else "circle" for gone in lost.tolist()], "size": 7},
                "text": [point["state"] for point in curve["points"]],
                "hovertemplate": "rate %{x}: %{y:.4g}, %{text}<extra>" + name + "</extra>",
            }
        )
    layout = {
        "height": 360,
        "xaxis": {"type": "log", "title": {"text": "learning rate"}},
        "yaxis": {"title": {"text": "loss"}},
        "showlegend": len(data) > 1,
    }
    return {"data": data, "layout": layout}


def _forecast(sweep: Mapping[str, Any], canvas: Canvas) -> str:
    forecasts = sweep["forecasts"]
    if not forecasts:
        text = "There is none: it takes at least two sizes whose runs were looked at."
        return f'<section id="forecast"><h2>Forecast</h2><p>{text}</p></section>'
    panels = []
    rows = []
    for quantity in sweep["quantities"]:
        mine = [forecast for forecast in forecasts if forecast["quantity"] == quantity["name"]]
        if not mine:
            continue
        caption = f"{quantity['title']}; limit {number(quantity['limit'])}: {quantity['source']}"
        panels.append(f'<div class="panel">{canvas.place(_quantity_figure(quantity, mine), caption)}</div>')
        for forecast in mine:
            held = forecast["held_back"]
            check = ("–",) * 3
            if held is not None:
                spread = f"{number(float(held['low']))} … {number(float(held['high']))}"
                check = (
                    f"{number(float(held['predicted']))} ({spread})",
                    number(held["measured"]),
                    number(held["factor"]),
                )
            shown = (quantity["title"], forecast["rate"], number(forecast["exponent"]), crossing(forecast), *check)
            rows.append([escape(text) for text in shown])
    heads = ("Quantity", "Rate", "Power of size", "Crosses its limit", "Largest size foreseen", "measured", "factor")
    return (
        f'<section id="forecast"><h2>Forecast</h2><p>{FORECASTS}</p><div class="pair">{"".join(panels)}</div><p></p>'
        f'<div class="panel">{table(heads, rows, numbers=3)}</div></section>'
    )


def _quantity_figure(quantity: Mapping[str, Any], forecasts: Sequence[Mapping[str, Any]]) -> Figure:
    data: list[Figure] = []
    largest = max(max(map(float, forecast["sizes"])) for forecast in forecasts)
    for i, forecast in enumerate(forecasts):
        sizes, values = np.array(forecast["sizes"], float), np.array(forecast["values"], float).clip(*DRAWN)
        name, colour = plain(forecast["rate"] or "measured"), SERIES[i % len(SERIES)]
        fit = extrapolate(sizes, values, degree=1)
        far = np.geomspace(sizes.min(), 100 * largest, 25)
        line = np.array([fit.predict(size).value for size in far.tolist()]).clip(*DRAWN)
        group = {"type": "scatter", "name": name, "legendgroup": name, "hovertemplate": "%{x:.3g}: %{y:.3g}"}
        data.append({**group, "mode": "markers", "x": packed(sizes), "y": packed(values), "marker": {"color": colour}})
        data.append(
            {
                **group,
                "mode": "lines",
                "x": packed(far),
                "y": packed(line),
                "line": {"color": colour, "dash": "dash", "width": 1.2},
                "showlegend": False,
            }
        )
    limit = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": quantity["limit"], "y1": quantity["limit"]}
    layout = {
        "height": 320,
        "xaxis": {"type": "log", "title": {"text": "parameters outside of embeddings"}},
        "yaxis": {"type": "log", "title": {"text": quantity["title"]}},
        "shapes": [{**limit, "line": {"color": "var(--critical)", "width": 1.2, "dash": "dot"}}],
        "showlegend": len(forecasts) > 1,
        "legend": {"y": -0.3},
    }
    return {"data": data, "layout": layout}


def _runs(sweep: Mapping[str, Any]) -> str:
    names = list(sweep["axes"])
    rows = []
    for run in sweep["runs"][:MAX_RUNS]:
        loss = number(float(run["loss"])) if run["loss"] != "nan" else "–"
        cells = [
            *(run["values"][name] for name in names),
            run["state"],
            loss,
            f"{run['steps']:,}",
            seconds(run["seconds"]),
        ]
        rows.append([escape(cell) for cell in cells])
    heads = (*names, "State", "Loss", "Steps", "Time")
    left = len(sweep["runs"]) - len(rows)
    more = f"<p>and {count(left, 'run')} more in sweep.json</p>" if left else ""
    text = "Each has its record in the folder of its name: <code>surefoot show FOLDER</code>."
    return (
        f'<section id="runs"><h2>Runs</h2><p>{text}</p><div class="panel">{table(heads, rows, numbers=3)}{more}</div>'
        "</section>"
    )
