"""Figures over depth and time: one row a module (first layer at the top), one column a bucket of steps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from surefoot.plots import SANS
from surefoot.report import wording
from surefoot.report.downsample import MAX_COLUMNS, MAX_ROWS, bins, edges, pool
from surefoot.report.figures import Figure, packed, plain
from surefoot.report.record import Record, Signal

MAX_LABELS = 40
# What a colour stands for beyond this many decades from the median says nothing more: it is dead or has exploded.
DECADES = 8.0
SMALLEST_SHARE = 0.05
SHARE_SCALE = [[0, "var(--sunken)"], [1, "var(--critical)"]]


def gradient_flow(record: Record) -> Figure | None:
    """log10 of the gradient RMS of every module over the run."""
    signal, odd = record.signal("gradient_rms"), record.signal("gradient_nonfinite")
    if signal is None:
        return None
    if odd is not None and odd.values.shape == signal.values.shape:
        # A mean over NaN is NaN, which alone would read as "not measured".
        signal = replace(signal, values=np.where(odd.values > 0, np.inf, signal.values))
    return logarithmic(signal, "gradient RMS")


def update_ratio(record: Record) -> Figure | None:
    """log10 of update RMS over weight RMS of every module over the run."""
    ratio = ratios(record)
    return None if ratio is None else logarithmic(ratio, "update / weight")


def ratios(record: Record) -> Signal | None:
    """Update RMS over weight RMS, where both were measured."""
    update, weight = record.signal("update_rms"), record.signal("weight_rms")
    if update is None or weight is None or update.values.shape != weight.values.shape:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        values = update.values / weight.values
    # Over infinite weights any update would read as 0.
    values = np.where(np.isinf(weight.values), np.inf, values)
    return Signal("update_ratio", update.steps, update.wheres, values)


def share(record: Record, name: str) -> Figure | None:
    """A share between 0 and 1 of every module that has it, over the run; None where it is negligible throughout."""
    signal = record.signal(name)
    if signal is None:
        return None
    signal = present(signal)
    if signal is None or np.max(signal.values, where=np.isfinite(signal.values), initial=0.0) < SMALLEST_SHARE:
        return None
    values, x, names = cells(signal, signal.values)
    trace = heatmap(values, x, names, "%{z:.0%}") | {"zmin": 0, "zmax": 1, "colorscale": SHARE_SCALE}
    trace["colorbar"] = {"tickformat": ".0%"}
    return {"data": [trace], "layout": frame(names)}


def present(signal: Signal) -> Signal | None:
    """The signal without rows and columns that hold nothing but NaN."""
    measured = ~np.isnan(signal.values)
    rows, columns = measured.any(axis=1), measured.any(axis=0)
    if not np.isfinite(signal.values).any():
        return None
    if rows.all() and columns.all():
        return signal
    wheres = tuple(where for where, kept in zip(signal.wheres, columns, strict=True) if kept)
    return Signal(signal.name, signal.steps[rows], wheres, signal.values[rows][:, columns])


def linear(signal: Signal, rows: int = MAX_ROWS, columns: int = MAX_COLUMNS) -> Figure:
    """A heat map of a signal as it is, at most so many rows and columns; extremes are cut to the scale."""
    kept = present(signal) or signal
    values, x, names = cells(kept, kept.values, rows, columns)
    infinite = np.isinf(values)
    finite = np.where(infinite, np.nan, values)
    trace = heatmap(finite, x, names, "%{z:.4g}") | {"colorscale": "Viridis"}
    if np.isfinite(finite).any():
        low, high = np.nanpercentile(finite, [0.5, 99.5])
        trace |= {"zmin": float(low), "zmax": float(high) if high > low else float(low) + 1}
    data, note = [trace], ""
    if infinite.any():
        data.append(flat(infinite, x, names, "var(--critical)", "nan or inf"))
        note = "Red: NaN or infinite."
    return {"data": data, "layout": frame(names), "note": note}


def logarithmic(signal: Signal, title: str, rows: int = MAX_ROWS, columns: int = MAX_COLUMNS) -> Figure | None:
    """A heat map of log10 of a non-negative signal; zeros and non-finite values are drawn as what they are."""
    kept = present(signal)
    if kept is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.log10(kept.values)
    zero = np.isneginf(exponents)
    exponents[zero] = np.nan
    if not np.isfinite(exponents).any():
        return None
    values, x, names = cells(kept, exponents, rows, columns)
    zeros = np.zeros_like(values)
    if zero.any():
        zeros = cells(kept, np.where(zero, np.float32(1), np.float32(np.nan)), rows, columns)[0]
    infinite = np.isinf(values)
    finite = np.where(infinite, np.nan, values)
    low, high = np.nanpercentile(finite, [0.5, 99.5])
    middle = float(np.nanmedian(finite))
    trace = heatmap(finite, x, names, "10<sup>%{z:.2f}</sup>")
    bottom = max(float(low), middle - DECADES)
    top = max(min(float(high), middle + DECADES), bottom + 0.5)
    trace |= {"zmin": bottom, "zmax": top, "colorscale": "Viridis", "colorbar": colour_bar(bottom, top)}
    data, notes = [trace], []
    only_zero = np.isnan(values) & (zeros == 1)
    if only_zero.any():
        data.append(flat(only_zero, x, names, "var(--ink)", "exactly 0"))
        notes.append("Black on light, white on dark: exactly 0.")
    if infinite.any():
        data.append(flat(infinite, x, names, "var(--critical)", "nan or inf"))
        notes.append("Red: NaN or infinite.")
    trace["name"] = title
    return {"data": data, "layout": frame(names), "note": " ".join(notes)}


def colour_bar(bottom: float, top: float) -> dict[str, Any]:
    """Ticks of a logarithmic scale: powers of ten, and 2 and 5 between them where there are few."""
    exponents = np.arange(np.floor(bottom), np.ceil(top) + 1)
    if top - bottom > 2:
        values = 10.0 ** exponents[:: max(round((top - bottom) / 6), 1)]
    else:
        values = (10.0 ** exponents[:, None] * np.array([1, 2, 5])).ravel()
    values = values[(np.log10(values) >= bottom) & (np.log10(values) <= top)]
    return {"tickvals": np.log10(values).tolist(), "ticktext": [wording.number(value) for value in values]}


def cells(
    signal: Signal, values: np.ndarray, rows: int = MAX_ROWS, columns: int = MAX_COLUMNS
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Values as (modules, buckets of steps), the borders of the buckets, and a name for each row."""
    borders = edges(signal.steps.astype(np.float64))
    if len(signal.steps) > columns:
        groups = bins(len(signal.steps), columns)
        values, borders = pool(values, groups, axis=0), borders[groups]
    names = list(signal.wheres)
    if len(names) > rows:
        groups = bins(len(names), rows)
        values = pool(values, groups, axis=1)
        names = [names[a] if b - a == 1 else f"{names[a]} … {names[b - 1]}" for a, b in pairwise(groups)]
    return values.T, borders, names


def heatmap(values: np.ndarray, x: np.ndarray, names: list[str], reading: str) -> Figure:
    """A heat map whose hover tells module, step and value."""
    return {
        "type": "heatmap",
        "z": packed(values.astype(np.float32)) | {"shape": f"{values.shape[0]}, {values.shape[1]}"},
        "x": packed(x.astype(np.float32)),
        "y": [plain(name, 90) for name in names],
        "hovertemplate": f"%{{y}}<br>step %{{x:.0f}}: {reading}<extra></extra>",
        "hoverongaps": False,
    }


def flat(mask: np.ndarray, x: np.ndarray, names: list[str], colour: str, meaning: str) -> Figure:
    """Cells of one colour over a heat map, for values that have no place on its scale."""
    trace = heatmap(np.where(mask, 1.0, np.nan), x, names, meaning)
    return trace | {"colorscale": [[0, colour], [1, colour]], "zmin": 0, "zmax": 1, "showscale": False}


def frame(names: list[str]) -> dict[str, Any]:
    """The layout of a heat map: as many labels as can be read."""
    shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), MAX_LABELS)).round().astype(int))
    return {
        "height": int(min(max(14 * len(names), 120), 560)) + 60,
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {
            "autorange": "reversed",
            "tickmode": "array",
            "tickvals": [plain(names[i], 90) for i in shown],
            "ticktext": [plain(names[i].partition(" … ")[0], 30) for i in shown],
            "tickfont": {"size": 10, "family": SANS},
            "showgrid": False,
            "ticks": "",
        },
        "margin": {"t": 8},
    }
