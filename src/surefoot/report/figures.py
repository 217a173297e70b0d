"""Line figures of the page, as plotly's JSON: the loss with its marks, learning rate, step time.

A figure is a plain dictionary (building plotly's objects would cost more than the rest of the page). Its colours are
CSS variables, which the page resolves to the reader's theme.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.plots import SERIES
from surefoot.report import wording
from surefoot.report.downsample import MAX_POINTS, thin
from surefoot.report.record import Record, Signal

Figure = dict[str, Any]

MAX_TRACES = 6
MAX_ODD = 200
# A positive series that spans more than this factor is drawn on a logarithmic axis.
LOG_SPAN = 20.0


def plain(text: str, limit: int = 60) -> str:
    """User text for plotly, which would read tags in it; long names keep their end, which tells them apart."""
    return html.escape(text if len(text) <= limit else "…" + text[1 - limit :], quote=False)


def packed(values: np.ndarray) -> dict[str, str]:
    """An array as plotly.js reads it: base64 of little-endian int32 or float32."""
    kind = "i4" if values.dtype.kind in "iu" else "f4"
    return {"dtype": kind, "bdata": base64.b64encode(values.astype(f"<{kind}").tobytes()).decode()}


def line(record: Record, signal: Signal, where: str, limit: int, **style: Any) -> list[Figure]:
    """The trace of one place's finite values, and one that marks its NaN and infinite values at the top."""
    values = signal.at(where)
    if values is None:
        return []
    finite = np.isfinite(values)
    x, y = thin(signal.steps[finite], values[finite], limit)
    name = style.pop("name", plain(where) or signal.name)
    traces: list[Figure] = [
        {
            "type": "scatter",
            # A single point has no line to show it.
            "mode": "lines" if len(x) > 1 else "markers",
            "name": name,
            "x": packed(x),
            "y": packed(y),
            "hovertemplate": f"step %{{x}}: %{{y:.4g}}<extra>{name}</extra>",
            **style,
        }
    ]
    odd = np.flatnonzero(record.nonfinite(signal, where))
    if odd.size:
        shown = odd[np.unique(np.linspace(0, odd.size - 1, min(odd.size, MAX_ODD)).astype(int))]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "nan or inf",
                "x": packed(signal.steps[shown]),
                "y": packed(np.full(shown.size, 0.965, dtype=np.float32)),
                "yaxis": "y2",
                "text": [wording.number(values[i]) for i in shown],
                "marker": {"symbol": "x-thin", "size": 7, "line": {"width": 1.6, "color": "var(--critical)"}},
                "hovertemplate": f"step %{{x}}: %{{text}}<extra>{name}</extra>",
                "legendgroup": "odd",
            }
        )
    return traces


def axes(traces: Sequence[Figure], steps: np.ndarray, y: str, *, log: bool, height: int) -> Figure:
    """The layout of a line figure; traces on ``y2`` are marks that keep to the top whatever the scale."""
    named = {trace["name"] for trace in traces if trace.get("showlegend", True)}
    # Marks would widen plotly's own range beyond the run.
    margin = max(0.005 * (steps[-1] - steps[0]), 0.5)
    span = [float(steps[0] - margin), float(steps[-1] + margin)]
    layout: Figure = {
        "height": height,
        "xaxis": {"title": {"text": "step"}, "range": span},
        "yaxis": {"title": {"text": y}, "type": "log" if log else "linear"},
        "showlegend": len(named) > 1,
        "shapes": [],
        "annotations": [],
    }
    if any(trace.get("yaxis") == "y2" for trace in traces):
        # The mark of a value that has no place on the axis stands at its top.
        layout["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return layout


def helps_log(*arrays: np.ndarray, span: float = LOG_SPAN) -> bool:
    """Whether the finite values are all positive and span more than a factor ``span``."""
    values = np.concatenate([np.ravel(array) for array in arrays]) if arrays else np.empty(0)
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > span * values.min())


def mark(layout: Figure, step: int, colour: str, text: str, *, dash: str = "solid", level: int = 0) -> None:
    """A vertical line at a step, with a label at its top."""
    layout["shapes"].append(
        {
            "type": "line",
            "x0": step,
            "x1": step,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": colour, "width": 1.2, "dash": dash},
        }
    )
    if text:
        layout["annotations"].append(
            {
                "x": step,
                "yref": "paper",
                "y": 1,
                "yanchor": "bottom",
                "yshift": 13 * level,
                "showarrow": False,
                "text": text,
                "font": {"size": 11, "color": colour},
            }
        )


def loss(record: Record) -> Figure | None:
    """The loss of each optimiser, with a numbered mark where each finding was detected."""
    signal = record.signal("loss")
    if signal is None or not np.isfinite(signal.values).any():
        return None
    traces: list[Figure] = []
    for i, where in enumerate(signal.wheres[:MAX_TRACES]):
        limit = MAX_POINTS // min(len(signal.wheres), MAX_TRACES)
        traces += line(record, signal, where, limit, line={"color": SERIES[i % len(SERIES)]}, showlegend=True)
    single_legend(traces)
    layout = axes(traces, signal.steps, "loss", log=helps_log(signal.values), height=340)
    crowd: dict[int, int] = {}
    for finding in record.findings:
        # Labels closer than a fortieth of the run would lie on each other: the later ones go one line up.
        near = round(40 * finding.detected_step / max(record.steps, 1))
        level = max(crowd.get(near + shift, -1) for shift in (-1, 0, 1)) + 1
        crowd[near] = level
        mark(layout, finding.detected_step, f"var(--{finding.severity})", f"<b>{finding.rank}</b>", level=level)
    layout["margin"] = {"t": 24 + 13 * max(crowd.values(), default=0)}
    return {"data": traces, "layout": layout}


def single_legend(traces: Sequence[Figure]) -> None:
    """One entry in the legend for all marks of non-finite values."""
    seen = False
    for trace in traces:
        if trace.get("legendgroup") == "odd":
            trace["showlegend"] = not seen
            seen = True


def small(record: Record, name: str) -> Figure | None:
    """A low figure of one signal of the whole run."""
    signal = record.signal(name)
    if signal is None or not np.isfinite(signal.values).any():
        return None
    traces: list[Figure] = []
    for i, where in enumerate(signal.wheres[:MAX_TRACES]):
        limit = MAX_POINTS // min(len(signal.wheres), MAX_TRACES)
        traces += line(record, signal, where, limit, line={"color": SERIES[i % len(SERIES)], "width": 1.3})
    single_legend(traces)
    layout = axes(traces, signal.steps, wording.title(name), log=helps_log(signal.values, span=1e3), height=200)
    layout["margin"] = {"t": 10, "b": 36}
    if layout["showlegend"]:
        layout |= {"height": 230, "legend": {"y": -0.36}, "margin": {"t": 10, "b": 66}}
    if layout["yaxis"]["type"] != "log":
        layout["yaxis"]["rangemode"] = "tozero"
    return {"data": traces, "layout": layout}
