"""The pictures of the clinic's page, as plotly's JSON in the report's colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harm import band, running_median
from score import LATE, Patient
from surefoot.plots import SERIES
from surefoot.report.downsample import thin
from surefoot.report.figures import axes, helps_log, mark, packed, plain

Figure = dict[str, Any]
POINTS = 300  # of a line


def loss(patient: Patient) -> Figure | None:
    """The losses of a faulty run over the band of its twin, with the steps of harm and of warning.

    None where there is no loss to compare.
    """
    drawn: list[Figure] = []
    shown, steps = [], []
    for number, (where, curve) in enumerate(patient.outcome.losses.items()):
        twins = [running_median(twin.losses[where]) for twin in patient.twins if where in twin.losses]
        mine = running_median(curve)
        finite = np.isfinite(mine.values)
        colour = SERIES[number % len(SERIES)]
        if finite.any():
            x, y = thin(mine.steps[finite], mine.values[finite], POINTS)
            drawn.append(_line(x, y, plain(where) or "faulty", {"color": colour, "width": 1.8}))
            shown.append(y)
            steps.append(x)
        inside = band(twins)
        if inside is not None:
            pick = np.unique(np.linspace(0, len(inside.steps) - 1, POINTS).astype(int))
            for edge, fill in ((inside.low, None), (inside.high, "tonexty")):
                line = _line(inside.steps[pick], edge[pick], "twin", {"color": colour, "width": 0.5, "dash": "dot"})
                drawn.append({**line, "fill": fill, "opacity": 0.6, "showlegend": False, "hoverinfo": "skip"})
                shown.append(edge[pick])
            steps.append(inside.steps[pick])
    if not shown:
        return None
    ends = np.array([min(s.min() for s in steps), max(s.max() for s in steps)])
    layout = axes(drawn, ends, "loss", log=helps_log(*shown), height=260)
    layout["margin"] = {"t": 40, "b": 40}
    if patient.harm.step is not None:
        mark(layout, patient.harm.step, "var(--critical)", "harm", dash="dot")
    if patient.warned is not None:
        mark(layout, patient.warned, "var(--accent)", "told", level=1)
    return {"data": drawn, "layout": layout}


def leads(patients: Sequence[Patient]) -> Figure | None:
    """Warning against harm, a point a script; None where no fault was both told and harmful."""
    both = [p for p in patients if p.warned is not None and p.harm.step is not None]
    if not both:
        return None
    harm = np.array([p.harm.step for p in both])
    told = np.array([p.warned for p in both])
    top = float(max(harm.max(), told.max())) * 1.3
    tones = ["var(--healthy)" if p.early else "var(--warning)" if p.late else "var(--muted)" for p in both]
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "script",
        "x": harm.tolist(),
        "y": told.tolist(),
        "text": [f"{plain(p.case.name)}<br>{p.case.condition}" for p in both],
        "marker": {"color": tones, "size": 9},
        "hovertemplate": "%{text}<br>harm at %{x}, told at %{y}<extra></extra>",
    }
    even = _line(np.array([1.0, top]), np.array([1.0, top]), "same step", {"color": "var(--line)", "width": 1})
    layout: Figure = {
        "height": 380,
        "xaxis": {"title": {"text": f"step of harm (late: after {LATE})"}, "type": "log", "dtick": 1},
        "yaxis": {"title": {"text": "step at which it was told"}, "type": "log", "dtick": 1},
        "showlegend": False,
    }
    return {"data": [{**even, "hoverinfo": "skip"}, points], "layout": layout}


def confusion(patients: Sequence[Patient]) -> Figure:
    """Conditions by what is named at rank 1."""
    pairs = [(p.case.condition, p.case.condition if p.named else p.first) for p in patients]
    rows = sorted({condition for condition, _ in pairs}, reverse=True)
    columns = sorted({first for _, first in pairs})
    counts = [[sum(pair == (row, column) for pair in pairs) for column in columns] for row in rows]
    layout: Figure = {
        "height": 190 + 20 * len(rows),
        "xaxis": {"tickangle": 90, "showgrid": False, "dtick": 1},
        "yaxis": {"showgrid": False, "dtick": 1},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 170},
    }
    cells = {
        "type": "heatmap",
        "x": columns,
        "y": rows,
        "z": counts,
        "text": [[str(count or "") for count in row] for row in counts],
        "texttemplate": "%{text}",
        "colorscale": [[0.0, "var(--sunken)"], [1.0, "var(--accent)"]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}<br>named %{x}: %{z}<extra></extra>",
    }
    return {"data": [cells], "layout": layout}


def _line(x: np.ndarray, y: np.ndarray, name: str, style: Figure) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": packed(x),
        "y": packed(y),
        "line": style,
        "hovertemplate": f"{name}, step %{{x}}: %{{y:.4g}}<extra></extra>",
    }
