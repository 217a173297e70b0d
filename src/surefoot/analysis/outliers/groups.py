"""Opposing groups: the few samples whose losses swing against each other from step to step.

Rosenfeld and Risteski, "Outliers with Opposing Signals Have an Outsized Effect on Neural Network Optimization", ICLR
2024 (arXiv 2311.04163) rank samples by the change of their loss in one step. Here a whole window of steps is used: the
first singular vector of the changes gives each sample a score (how much it swings) and a side (with whom).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    import plotly.graph_objects as go

LARGEST_SHARE = 0.1
"""At most this share of the samples is put into groups when their size is found from the data: outliers are few."""


@dataclass(frozen=True)
class OpposingGroups:
    """Two groups of samples and what tells whether they oppose each other.

    ``up`` and ``down`` hold sample positions, strongest first: those whose loss rose and fell in the last step of the
    window. Both are empty where no loss changed.
    """

    up: Int[Tensor, " up"]
    down: Int[Tensor, " down"]
    score: Float[Tensor, " n"]
    """How much a sample takes part: the magnitude of its entry in a unit vector."""
    side: Float[Tensor, " n"]
    """+1 with the rising samples, −1 with the falling ones, 0 with neither."""
    energy_share: float
    """σ₁² / Σ σ²: how much of all changes is one pattern that all samples follow. 1 is a pure swing."""
    lag1: tuple[float, float]
    """Σ dₜ dₜ₊₁ / √(Σ dₜ² Σ dₜ₊₁²) of each group's mean change: −1 swings at every step, −½ is noise around a level,
    +1 is plain learning. NaN without two steps or without a group."""
    correlation: float
    """Between the two groups' mean changes; −1 is antiphase."""
    concentration: tuple[float, float]
    """Share of Σᵢ meanₜ |dₜᵢ| carried by the top 1 % and the top 5 % of the samples."""
    means: Float[Tensor, "2 steps"]
    """Mean change of each group at each step, up first."""

    def plot(self, **options: Any) -> go.Figure:
        """Mean loss change of both groups over the window."""
        from surefoot.plots import figure

        steps = list(range(-self.means.shape[1] + 1, 1))
        names = (f"up ({len(self.up)} samples)", f"down ({len(self.down)} samples)")
        traces = [
            {"type": "scatter", "x": steps, "y": row.tolist(), "name": name, "mode": "lines+markers"}
            for row, name in zip(self.means.cpu(), names, strict=True)
        ]
        words = {"title": "Opposing groups", "x": "step before now", "y": "mean loss change"}
        return figure(traces, **{**words, **options})


def opposing_groups(
    delta: Float[Tensor, "steps n"],
    k: int | None = None,
    method: Literal["svd", "step"] = "svd",
) -> OpposingGroups:
    """The two groups whose losses move against each other, strongest samples first.

    Parameters
    ----------
    delta : per-sample loss changes dₜᵢ = ℓₜ₊₁,ᵢ − ℓₜ,ᵢ, oldest step first (from :func:`compute`)
    k : how many samples a group has at most. By default "svd" takes the samples above the knee of the sorted scores
        (at most 10 % of all), split by side, and "step" 1 % of all
    method : "svd" scores by the first right singular vector of the window, found from the steps × steps Gram matrix;
        "step" ranks by the last step's change alone, as the paper does

    Returns
    -------
    OpposingGroups
        Groups found are opposing only if ``lag1`` and ``correlation`` say so: any window splits into two sides. Use
        :func:`surefoot.analysis.outliers.judge` for that.

    Raises
    ------
    ValueError
        For a matrix that is empty or not finite, k below 1 or above n / 2, an unknown method.
    """
    delta = checked_changes(delta)
    n = delta.shape[1]
    if method not in ("svd", "step"):
        raise ValueError(f"method: got {method!r}; must be 'svd' or 'step'")
    if k is not None and not 1 <= k <= n // 2:
        raise ValueError(f"k: got {k}; must be between 1 and half of the {n} samples")
    weight, energy_share = _pattern(delta)
    if method == "step":
        length = delta[-1].norm()
        weight = delta[-1] / length if float(length) > 0 else torch.zeros_like(delta[-1])
        k = max(1, round(0.01 * n)) if k is None else k
    score = weight.abs()
    if k is None:
        members = torch.argsort(score, descending=True, stable=True)[: knee(score)]
        up, down = members[weight[members] > 0], members[weight[members] < 0]
    else:
        up = torch.argsort(weight, descending=True, stable=True)[:k]
        down = torch.argsort(weight, descending=False, stable=True)[:k]
        up, down = up[weight[up] > 0], down[weight[down] < 0]
    means = torch.stack([_mean(delta, up), _mean(delta, down)])
    movement = delta.abs().mean(dim=0)
    return OpposingGroups(
        up=up,
        down=down,
        score=score,
        side=torch.sign(weight),
        energy_share=energy_share,
        lag1=(lag1(means[0]), lag1(means[1])),
        correlation=correlation(means[0], means[1]),
        concentration=(_top_share(movement, 0.01), _top_share(movement, 0.05)),
        means=means,
    )


def concentration(delta: Float[Tensor, "steps n"], share: float) -> float:
    """Share of all loss movement Σᵢ meanₜ |dₜᵢ| that the top ``share`` of the samples carries; 0 if nothing moves.

    Half-normal movement, equal in law for all samples, gives at most 0.15 for the top 5 % (with one step; less with
    more): well above that is a heavy tail.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}; must be in (0, 1]")
    return _top_share(delta.abs().mean(dim=0), share)


def lag1(series: Float[Tensor, " steps"]) -> float:
    """Lag-1 autocorrelation about zero, in [−1, 1]; NaN for fewer than two steps or a series of zeros.

    About zero, not the mean: a loss that falls by the same amount at every step is plain learning, +1.
    """
    return _cosine(series[:-1], series[1:])


def correlation(a: Float[Tensor, " steps"], b: Float[Tensor, " steps"]) -> float:
    """Pearson's correlation of two series; NaN where one is constant or shorter than two."""
    a, b = a.double(), b.double()
    return _cosine(a - a.mean(), b - b.mean()) if len(a) > 1 else float("nan")


def knee(score: Float[Tensor, " n"]) -> int:
    """How many samples stand above the knee of the sorted scores: where the curve is furthest below its chord.

    The curve is cut where it has fallen as far as it will; at most :data:`LARGEST_SHARE` of the samples, at least 2.
    """
    ordered = score.double().sort(descending=True).values
    n = len(ordered)
    if n < 2 or float(ordered[0]) == 0:
        return 0
    fall = (ordered[0] - ordered) / (ordered[0] - ordered[-1]).clamp_min(torch.finfo(torch.float64).tiny)
    below = fall - torch.linspace(0, 1, n, dtype=torch.float64, device=ordered.device)
    return min(max(2, int(below.argmax())), max(2, int(LARGEST_SHARE * n)))


def checked_changes(delta: Float[Tensor, "steps n"]) -> Float[Tensor, "steps n"]:
    """The changes as given, in at least float32.

    Raises
    ------
    ValueError
        If they are not a finite matrix of at least one step and two samples.
    """
    if delta.dim() != 2 or len(delta) < 1 or delta.shape[1] < 2:
        raise ValueError(
            f"delta: got shape {tuple(delta.shape)}; must be (steps, n) with a step and two samples at least"
        )
    if not bool(torch.isfinite(delta).all()):
        raise ValueError("delta: holds non-finite changes; leave out the steps after the loss became nan or inf")
    return delta.detach() if delta.dtype in (torch.float32, torch.float64) else delta.detach().float()


def _pattern(delta: Tensor) -> tuple[Tensor, float]:
    """First right singular vector, signed so that its positive samples rose in the last step, and its energy share."""
    scale = float(delta.abs().max())
    if scale == 0:
        return torch.zeros_like(delta[0]), 0.0
    scaled = delta / scale  # else squares of tiny or huge losses leave float32's range
    values, vectors = torch.linalg.eigh((scaled @ scaled.T).double())
    first = (vectors[:, -1].to(scaled) @ scaled).double()
    first = first / first.norm()
    last = float(vectors[-1, -1])
    if last < 0:
        first = -first
    return first.to(delta.dtype), float(values[-1] / values.clamp_min(0).sum())


def _top_share(movement: Tensor, share: float) -> float:
    total = float(movement.sum(dtype=torch.float64))
    if total == 0:
        return 0.0
    top = movement.topk(max(1, round(share * len(movement)))).values
    return float(top.sum(dtype=torch.float64)) / total


def _mean(delta: Tensor, members: Tensor) -> Tensor:
    return (
        delta[:, members].double().mean(dim=1) if len(members) else delta.new_full((len(delta),), float("nan")).double()
    )


def _cosine(a: Tensor, b: Tensor) -> float:
    lengths = float(a.double().norm()) * float(b.double().norm())
    return float(a.double() @ b.double()) / lengths if lengths > 0 else float("nan")
