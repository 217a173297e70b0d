"""Figures of signal and gradient by layer, as they start: measured, and by theory."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.report.figures import Figure, packed, plain

_KINDS = 7  # lines that are told apart
_TITLES = {
    "forward": "Signal: RMS of each layer's output",
    "backward": "Gradient: its norm at each layer's output",
}


def figures(start: Mapping[str, Any]) -> list[Figure]:
    """Signal and gradient over depth, from the event ``start`` of a record; those of which something was measured."""
    drawn = [_figure(start, which) for which in _TITLES]
    return [figure for figure in drawn if figure is not None]


def floats(values: Any) -> np.ndarray:
    """Numbers of a record."""
    return np.array([float_of(v) for v in values], dtype=np.float64)


def float_of(value: Any) -> float:
    """A number of a record, where those that are not finite are strings."""
    return float(value) if value is not None else math.nan


def _figure(start: Mapping[str, Any], which: str) -> Figure | None:
    """On a logarithmic axis: a line for each kind of layer, the residual stream, and theory where there is one."""
    layers, chain, blocks = start["layers"], start["chain"], start.get("blocks", [])
    names = [layer["name"] for layer in layers]
    measured = floats([layer[which] for layer in layers])
    if not np.isfinite(measured).any() or len(names) < 2:
        return None
    shown = [measured]
    data = [_trace([names[i] for i in at], at, measured[at], label) for label, at in _kinds(names)]
    if len(blocks) > 2:
        at = floats([block["after"] for block in blocks]) - 0.5
        shown.append(floats([block[which] for block in blocks]))
        data.append(_trace([b["name"] for b in blocks], at, shown[-1], "behind residual blocks", {"width": 3}))
    if chain is not None:
        at = np.array([names.index(name) for name in chain["names"]])
        shown.append(floats(chain[f"{which}_theory"]))
        data.append(_trace(chain["names"], at, shown[-1], "theory", {"dash": "dash"}))
    layout = {
        "height": 300 if len(data) < 4 else 380,
        "title": {"text": _TITLES[which]},
        "xaxis": {"title": {"text": "layer, in order of depth"}},
        "yaxis": {"type": "log", **_at_least_a_decade(np.concatenate(shown))},
        "showlegend": len(data) > 1,
    }
    return {"data": data, "layout": layout}


def _at_least_a_decade(values: np.ndarray) -> dict[str, Any]:
    """The axis of values that hardly differ: close up, a level line looks like a mountain."""
    known = np.log10(values[np.isfinite(values) & (values > 0)])
    if not len(known) or np.ptp(known) > 0.8:
        return {}
    middle = float(known.max() + known.min()) / 2
    return {"range": [middle - 0.5, middle + 0.5]}


def _kinds(names: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """Layers of one kind, such as the queries of all blocks, whose names differ in numbers alone; the rest together.

    Layers of several kinds have outputs of several sizes: one line through all would show nothing but that.
    """
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        rows.setdefault(re.sub(r"\d+", "*", name), []).append(i)
    often = sorted((kind for kind in rows if len(rows[kind]) > 2), key=lambda kind: -len(rows[kind]))[:_KINDS]
    if len(often) < 2:
        return [("measured", np.arange(len(names)))]
    found = [(kind, np.array(rows[kind])) for kind in rows if kind in often]
    rest = sorted(i for kind in rows if kind not in often for i in rows[kind])
    return [*found, ("others", np.array(rest))] if rest else found


def _trace(
    names: Sequence[str], at: np.ndarray, values: np.ndarray, label: str, line: Mapping[str, Any] | None = None
) -> Figure:
    good = np.flatnonzero(np.isfinite(values) & (values > 0))
    mode = "markers" if label == "others" else "lines" if line and "dash" in line else "lines+markers"
    return {
        "type": "scatter",
        "mode": mode,
        "name": plain(label),
        "x": packed(at[good]),
        "y": packed(values[good]),
        "text": [plain(names[int(i)]) for i in good],
        "line": dict(line or {}),
        "hovertemplate": f"%{{text}}: %{{y:.4g}}<extra>{plain(label)}</extra>",
    }
