"""Plots of the study of opposing signals: the swing, the valley, and the samples themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from surefoot.analysis.outliers import opposing_groups, picture_groups
from surefoot.plots import figure
from surefoot.studies._opposing_race import Raced
from surefoot.studies._opposing_runs import Natural, Planted
from surefoot.studies._opposing_toy import Toy
from surefoot.studies.frame import Figure
from surefoot.studies.problems.fashion import Clothes


def line(x: Any, y: Any, name: str, **more: Any) -> dict[str, Any]:
    """A curve, thinned to 600 points."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    some = np.unique(np.linspace(0, len(x) - 1, min(len(x), 600)).round().astype(int))
    return {"type": "scatter", "mode": "lines", "x": x[some].tolist(), "y": y[some].tolist(), "name": name, **more}


def flat(low: float, high: float, value: float, name: str) -> dict[str, Any]:
    """A dashed level."""
    return line([low, high], [value, value], name, line={"dash": "dash", "width": 1})


def figures_of_toy(result: Toy) -> tuple[Figure, ...]:
    """Sharpness by step size, with the limits 2/η and the predicted end; losses of the two groups at the edge."""
    traces, end = [], float(result.flow.times[-1])
    for eta, path in result.descents.items():
        seen = path.times * eta <= end
        traces.append(line(path.times[seen] * eta, path.sharpness[seen], f"η = {eta:g} (2/η = {2 / eta:.0f})"))
    traces.append(line(result.flow.times, result.flow.sharpness, "gradient flow"))
    traces.append(flat(0, end, result.predicted, "predicted end of the flow"))
    sharp = figure(traces, x="time η · steps", y="sharpness", log_y=True)
    path = next(iter(result.descents.values()))
    groups = [
        line(path.times[:400], path.group_losses[:400, 0], "outliers with +"),
        line(path.times[:400], path.group_losses[:400, 1], "outliers with −"),
        line(path.times[:400], path.loss[:400], "all samples"),
    ]
    swing = figure(groups, x="step", y="expected loss", log_y=True)
    return (
        Figure("toy-sharpness", "Linear model: the valley sharpens until 2/η, or to the predicted end", sharp),
        Figure("toy-groups", "Linear model: the two signs of the outlier swing in antiphase at the edge", swing),
    )


def figures_of_planted(result: Planted, lr: float) -> tuple[Figure, ...]:
    """Group losses, sharpness, heat map of the changes, the probe, and pictures of the groups found."""
    run = result.run
    series = run.series
    steps = np.arange(len(series))
    losses = [
        line(steps, series[:, result.first].mean(axis=1), "planted 3s"),
        line(steps, series[:, result.second].mean(axis=1), "planted 8s"),
        line(steps, series.mean(axis=1), "all samples"),
    ]
    looks = [look.step for look in run.looks]
    sharp = [line(looks, [look.sharpness for look in run.looks], "all samples", mode="lines+markers")]
    sharp.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [looks[-1]],
            "y": [result.sharpness_without],
            "name": "same weights, without the planted 5 %",
            "marker": {"size": 10, "symbol": "diamond"},
        }
    )
    sharp.append(flat(0, looks[-1], 2 / lr, "2/η"))
    probes = [line(np.arange(len(run.probes)) - len(run.probes) + 1, run.probes, "feature alone", mode="lines+markers")]
    groups = opposing_groups(run.delta)
    pictures = picture_groups(
        result.data[0].reshape(-1, 8, 8),
        groups.up,
        groups.down,
        [str(label) for label in result.data[1].tolist()],
    )
    return (
        Figure(
            "planted-groups",
            "Planted signal: group losses in antiphase under the total loss",
            figure(losses, x="step", y="mean loss", log_y=True),
        ),
        Figure(
            "planted-sharpness",
            "Planted signal: sharpness at the edge rests on 5 % of the samples",
            figure(sharp, x="step", y="sharpness"),
        ),
        Figure("planted-changes", "Loss changes of the 120 samples that swing most, by score", _heatmap(run.delta)),
        Figure(
            "planted-probe",
            "The planted feature alone: its class swings from step to step",
            figure(probes, x="step before the end", y="probability of class 3"),
        ),
        Figure("planted-pictures", "Planted signal: the samples that were found", pictures),
    )


def _heatmap(delta: torch.Tensor, rows: int = 120) -> Any:
    groups = opposing_groups(delta)
    weight = groups.score * groups.side
    strongest = groups.score.topk(min(rows, len(weight))).indices
    ordered = strongest[torch.argsort(weight[strongest], descending=True)]
    shown = delta[:, ordered].T
    span = float(shown.abs().quantile(0.98))
    heat = {
        "type": "heatmap",
        "z": np.round(shown.numpy(), 3).tolist(),
        "x": list(range(-shown.shape[1] + 1, 1)),
        "colorscale": "RdBu",
        "zmid": 0,
        "zmin": -span,
        "zmax": span,
        "colorbar": {"title": {"text": "loss change"}},
    }
    return figure([heat], x="step before the end", y="sample, by signed score")


def figures_of_natural(result: Natural, clothes: Clothes, lr: float) -> tuple[Figure, ...]:
    """Sharpness and opposition at each look, and pictures of the groups at the most opposed look."""
    looks = result.run.looks
    steps = [look.step for look in looks]
    sharp = [line(steps, [look.sharpness for look in looks], "sharpness", mode="lines+markers")]
    sharp.append(flat(0, steps[-1], 2 / lr, "2/η"))
    opposed = [
        line(steps, [look.gradient_cosine for look in looks], "cosine of the groups' gradients", mode="lines+markers"),
        line(steps, [look.lag1 for look in looks], "lag-1 of the groups' changes", mode="lines+markers"),
    ]
    kind = "synthetic stand-in for Fashion-MNIST" if clothes.synthetic else "Fashion-MNIST"
    names = [clothes.names[label] for label in clothes.labels.tolist()]
    images = clothes.images.mul(100).round().div(100).reshape(-1, 28, 28)
    shown = picture_groups(images, result.best.up, result.best.down, names)
    return (
        Figure("natural-sharpness", f"{kind}: sharpness", figure(sharp, x="step", y="sharpness")),
        Figure("natural-opposition", f"{kind}: opposition begins at the edge", figure(opposed, x="step", y="")),
        Figure("natural-pictures", f"{kind}: losses that rose and fell most at step {result.best.step}", shown),
    )


def figures_of_race(results: Sequence[Raced]) -> tuple[Figure, ...]:
    """Share of the steps along the opposing direction, and end losses."""
    names = [one.name for one in results]
    share = [{"type": "bar", "x": names, "y": [one.share for one in results], "name": "share"}]
    losses = [
        {"type": "bar", "x": names, "y": [one.loss for one in results], "name": "all samples"},
        {"type": "bar", "x": names, "y": [one.group_loss for one in results], "name": "planted samples"},
    ]
    return (
        Figure(
            "optimizer-shares",
            "Share of the step along the opposing direction",
            figure(share, y="mean |⟨update, direction⟩|, normalised"),
        ),
        Figure("optimizer-losses", "Loss at the end", figure(losses, y="mean loss", log_y=True)),
    )
