"""Plots of the study of `ghosts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from surefoot.optim.exact_radius import nearest_zero
from surefoot.plots import SERIES, figure, line
from surefoot.studies._ghosts_runs import Trace
from surefoot.studies.frame import Figure, Measured

_TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def of_one_seed(
    traces: Mapping[tuple[Any, Any], Trace], spike: int, drift: Trace, logits: Tensor, slopes: Tensor
) -> tuple[Figure, ...]:
    """Losses and radii through a spike, the drift of the radius, the zeros of F."""
    mlp = {arm: trace for (kind, arm), trace in traces.items() if kind == "mlp"}
    losses = figure(
        [line(arm, range(len(t.loss)), np.maximum(t.loss, 1e-6)) for arm, t in mlp.items()],
        x="step", y="training loss", log_y=True,
    )  # fmt: skip
    losses.add_vline(spike, line_dash="dot", annotation_text="1,000 × lr from here")
    safe = mlp["safe-step"]
    steps = np.arange(len(safe.tau))
    inside = np.minimum(safe.tau, safe.radius)
    radii = figure(
        [
            line("proposed length τ", steps, safe.tau),
            line("radius ρ_a", steps, safe.radius),
            line("length taken", steps, inside),
        ],
        x="step", y="length in parameter space", log_y=True,
    )  # fmt: skip
    drifted = figure(
        [
            line("radius ρ_a", range(len(drift.tau)), drift.radius),
            line("step τ", range(len(drift.tau)), drift.tau),
        ],
        x="step", y="length in parameter space", log_y=True,
    )  # fmt: skip
    return (
        Figure("loss-through-spike", "Training loss through a 1,000-fold learning rate (MLP)", losses),
        Figure("radius-through-spike", "Step proposed, radius, step taken (MLP with SafeStep)", radii),
        Figure("radius-over-training", "Radius and step at a constant learning rate (Adam, 1e-2)", drifted),
        Figure("zeros", "log |F(t)| in the complex plane: the nearest zero limits the step", zero_map(logits, slopes)),
    )


def zero_map(logits: Tensor, slopes: Tensor, points: int = 121) -> Any:
    """log₁₀|F(t)| relative to its largest term over the complex plane; bound and exact radius as circles."""
    z, a = logits.double().numpy(), slopes.double().numpy()
    zero = nearest_zero(z, a)
    bound = float(np.pi / (a.max() - a.min()))
    side = 1.4 * abs(zero)
    axis = np.linspace(-side, side, points)
    exponents = z + (axis[None, :] + 1j * axis[:, None])[..., None] * a
    height = np.log10(np.abs(np.exp(exponents - exponents.real.max(-1, keepdims=True)).sum(-1)) + 1e-9)
    angle = np.linspace(0, 2 * np.pi, 181)
    traces: list[Any] = [
        {"type": "heatmap", "x": axis, "y": axis, "z": np.round(height, 3), "zmin": -2, "colorscale": "Viridis"}
    ]
    for radius, name, colour in ((bound, "bound π/Δ", SERIES[1]), (abs(zero), "exact radius", "#ffffff")):
        traces.append(line(name, radius * np.cos(angle), radius * np.sin(angle)) | {"line": {"color": colour}})
    plot = figure(traces, x="Re t", y="Im t")
    plot.update_yaxes(scaleanchor="x")
    return plot


def of_all_seeds(measured: Measured) -> tuple[Figure, ...]:
    """Accuracy retained over r, onset over temperature, calibration."""
    r = measured["sweep.r"][0]
    return (
        Figure("accuracy-retained", "Accuracy after one step of r radii (networks, directions, seeds)",
               _bands(r, measured["sweep.retained"], "test accuracy, share of before")),
        Figure("loss-ratio", "Loss after one step of r radii (networks, directions, seeds)",
               _bands(r, measured["sweep.loss-ratio"], "training loss over that before", log_y=True)),
        Figure("onset", "Step that doubles the loss, at each temperature", _onset(measured)),
        Figure("calibration", "Exact radius over the bound, random logits of ten classes",
               figure([{"type": "histogram", "x": measured["exact-over-bound"].reshape(-1), "nbinsx": 40}],
                      x="exact radius / (π/Δ)", y="draws")),
    )  # fmt: skip


def _bands(r: np.ndarray, curves: np.ndarray, y: str, log_y: bool = False) -> Any:
    flat = np.nan_to_num(curves.reshape(-1, curves.shape[-1]), nan=0.0, posinf=1e30)
    low, middle, high = np.quantile(flat, (0, 0.5, 1), axis=0)
    plot = figure(
        [line("least", r, low), line("median", r, middle), line("most", r, high)],
        x="r = τ/ρ_a", y=y, log_x=True, log_y=log_y,
    )  # fmt: skip
    plot.add_vline(1, line_dash="dot", annotation_text="r = 1")
    return plot


def _onset(measured: Measured) -> Any:
    traces = []
    for which, name in (("raw", "τ"), ("scaled", "τ/ρ_a")):
        for number, values in enumerate(measured[f"onset.{which}"]):
            colour = SERIES[0] if which == "raw" else SERIES[1]
            trace = line(name, _TEMPERATURES, values, "lines+markers")
            traces.append(trace | {"line": {"color": colour}, "showlegend": number == 0})
    return figure(traces, x="temperature T", y="length at which the loss doubles", log_x=True, log_y=True)
