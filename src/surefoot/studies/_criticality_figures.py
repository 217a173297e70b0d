"""Plots of the study of critical points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot import plots
from surefoot.init import critical_point, gaussian_moments
from surefoot.plots import SERIES, figure
from surefoot.studies.frame import Figure, Measured

_SHOWN = ("relu", "tanh", "gelu", "silu", "sigmoid", "softplus")


def line(
    name: str, x: Any, y: Any, mode: str = "lines", dash: str | None = None, colour: int | None = None
) -> dict[str, Any]:
    """A trace over numbers; traces of one ``colour`` belong together."""
    look = {"color": SERIES[colour]} if colour is not None else {}
    drawn = plots.line(name, map(float, x), map(float, y), mode)
    return drawn | {"line": look | ({"dash": dash} if dash else {}), "marker": look}


def imbalance_figure() -> Figure:
    """χ∥/χ⊥ over K, which is 1 at a critical point; with the fixed points that are critical."""
    K = np.logspace(-3, 3, 121)
    traces, roots = [], []
    for act in _SHOWN:
        m = gaussian_moments(act, K)
        traces.append(line(act, K, m.radial / m.slope_square))
        point = critical_point(act)
        if point.kind == "half_stable":
            roots.append(point.K_star)
    marks = line("K*", roots, [1.0] * len(roots), "markers") | {"marker": {"size": 10, "symbol": "circle-open"}}
    plot = figure([*traces, marks], title="Where χ∥ = χ⊥", x="K", y="χ∥ / χ⊥", log_x=True)
    return Figure("imbalance", "χ∥/χ⊥ against the variance K: 1 at a critical point, at any K for ReLU", plot)


def figures_of_training(
    measured: Measured,
    starts: Mapping[str, Sequence[str | float]],
    C_W: Sequence[float],
    depths: Sequence[int],
    kernel_depths: Sequence[int],
) -> tuple[Figure, ...]:
    """Losses by start, with every seed as a point; their map over C_W and depth; tangent kernels over depth."""
    points = []
    for act, names in starts.items():
        table = np.array([measured[f"loss_{act}_{name}"] for name in names])
        labels = [name if isinstance(name, str) else f"C_W = {name:g}" for name in names]
        x = [f"{act}, {label}" for label in labels for _ in range(table.shape[1])]
        y = [float(v) if np.isfinite(v) else None for v in table.reshape(-1)]
        points.append({"type": "scatter", "mode": "markers", "name": act, "x": x, "y": y, "marker": {"size": 8}})
    mean = measured["map"].mean(axis=0)
    heat = {
        "type": "heatmap",
        "x": [f"{value:g}" for value in C_W],
        "y": [str(depth) for depth in depths],
        "z": [[float(v) if np.isfinite(v) else None for v in row] for row in mean],
        "colorbar": {"title": {"text": "loss"}},
    }
    rows = figure([heat], title="Losses of ReLU networks", x="C_W", y="depth")
    rows.update_xaxes(type="category").update_yaxes(type="category")
    kernels = [
        line(name, kernel_depths, measured[f"kernel_{key}"].mean(axis=0), "lines+markers")
        for key, name in (("relu", "ReLU, λ = 1"), ("tanh", "tanh, λ = 1"), ("scaled", "tanh, λ_b = 1/layer"))
    ]
    return (
        Figure(
            "starts",
            f"Training loss of {depths[-1]} layers by start (diverged ones left out)",
            figure(points, title="Losses by start", y="cross-entropy"),
        ),
        Figure(
            "map",
            "Training loss of ReLU networks (empty where one diverged)",
            rows,
        ),
        Figure(
            "tangent-kernel",
            "Mean tangent kernel of one output",
            figure(kernels, title="Tangent kernel", x="depth", y="Θ"),
        ),
    )
