"""The figure of a finding: one signal that speaks for it, at the places it names, with threshold and beginning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surefoot.plots import SERIES
from surefoot.report import wording
from surefoot.report.figures import MAX_TRACES, Figure, axes, helps_log, line, mark, single_legend
from surefoot.report.record import Record, Signal
from surefoot.runs.schema import Evidence, Finding

MAX_CONTEXT = 12
MAX_THRESHOLDS = 3
# The lines of a figure together keep this many points.
POINTS = 2_500


def evidence(record: Record, finding: Finding, name: str) -> Figure | None:
    """One signal over the run: the places that a finding names over the others, threshold, and when it began.

    None where the signal was not recorded at any of these places.
    """
    signal = record.signal(name)
    if signal is None:
        return None
    proofs = [proof for proof in finding.evidence if proof.signal == name]
    chosen, others = _places(signal, [*(proof.where for proof in proofs), *finding.where])
    if not chosen:
        return None
    traces = _lines(record, signal, chosen, others)
    data = np.stack([signal.values[:, signal.wheres.index(where)] for where in (*chosen, *others)])
    log = not name.endswith("_share") and helps_log(data)
    layout = axes(traces, signal.steps, wording.title(name), log=log, height=290)
    thresholds(layout, traces, [proof.threshold for proof in proofs], data, int(signal.steps[0]), log=log)
    points = [proof for proof in proofs if proof.where in chosen and math.isfinite(proof.value)]
    points = [proof for proof in points if proof.value > 0 or not log]
    if points:
        traces.append(_points(points[:MAX_TRACES]))
    colour = f"var(--{finding.severity})"
    if finding.first_step == finding.detected_step:
        mark(layout, finding.detected_step, colour, "detected")
    else:
        # Labels that would lie on each other are put one above the other.
        close = abs(finding.detected_step - finding.first_step) < record.steps / 8
        mark(layout, finding.first_step, colour, "began", dash="dot", level=int(close))
        mark(layout, finding.detected_step, colour, "detected")
        layout["margin"] = {"t": 38 if close else 24}
    return {"data": traces, "layout": layout}


def _places(signal: Signal, named: Sequence[str]) -> tuple[list[str], list[str]]:
    """The places to draw in colour, and some of the others to compare them with."""
    measured = np.isfinite(signal.values).any(axis=0)
    known = [where for where, any_value in zip(signal.wheres, measured, strict=True) if any_value]
    chosen = [where for where in dict.fromkeys(named) if where in known]
    if not chosen and len(signal.wheres) == 1:
        chosen = known
    return spread(chosen, MAX_TRACES), spread([where for where in known if where not in chosen], MAX_CONTEXT)


def _lines(record: Record, signal: Signal, chosen: Sequence[str], others: Sequence[str]) -> list[Figure]:
    limit = max(POINTS // (len(chosen) + len(others)), 100)
    traces: list[Figure] = []
    for i, where in enumerate(others):
        style = {"name": "other modules", "legendgroup": "others", "showlegend": i == 0, "hoverinfo": "skip"}
        trace = line(record, signal, where, limit, line={"color": "var(--context)", "width": 1}, **style)[0]
        traces.append(trace | {"hovertemplate": None})
    for i, where in enumerate(chosen):
        traces += line(record, signal, where, limit, line={"color": SERIES[i % len(SERIES)], "width": 1.8})
    single_legend(traces)
    return traces


def _points(proofs: Sequence[Evidence]) -> Figure:
    """The measurements that are the evidence, as rings."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "evidence",
        "x": [proof.step for proof in proofs],
        "y": [proof.value for proof in proofs],
        "marker": {"size": 9, "color": "var(--surface)", "line": {"width": 2, "color": "var(--ink)"}},
        "hovertemplate": "evidence at step %{x}: %{y:.4g}<extra></extra>",
        "showlegend": False,
        "cliponaxis": False,
    }


def spread(items: Sequence[str], limit: int) -> list[str]:
    """At most ``limit`` items, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).round().astype(int)]


def thresholds(
    layout: Figure, traces: list[Figure], values: Sequence[float], data: np.ndarray, step: int, *, log: bool
) -> None:
    """A dashed line at each threshold that fits the scale of the data, and room for it on the axis."""
    data = data[np.isfinite(data) & ((data > 0) | (not log))]
    if not data.size:
        return
    low, high = float(data.min()), float(data.max())
    room = 1e3 if log else max(high - low, abs(high), 1e-30)
    drawn: list[float] = []
    for value in values:
        if not math.isfinite(value) or len(drawn) == MAX_THRESHOLDS:
            continue
        fits = (low / room <= value <= high * room) if log else (low - room <= value <= high + room)
        # Lines closer than this would look like one line with two labels.
        near = (abs(math.log10(value / other)) < 0.2 if log else abs(value - other) < 0.1 * room for other in drawn)
        if not fits or any(near):
            continue
        drawn.append(value)
        layout["shapes"].append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": value,
                "y1": value,
                "line": {"color": "var(--ink)", "width": 1.2, "dash": "dash"},
            }
        )
        layout["annotations"].append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": math.log10(value) if log else value,
                "yanchor": "bottom",
                "showarrow": False,
                "text": f"threshold {wording.number(value)}",
                "font": {"size": 11},
                "bgcolor": "var(--surface)",
                "opacity": 0.9,
            }
        )
        # Shapes do not count when plotly chooses the range; an invisible point does.
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [step],
                "y": [value],
                "opacity": 0,
                "hoverinfo": "skip",
                "showlegend": False,
                "name": "",
            }
        )
