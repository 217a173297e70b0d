"""What the study of opposing signals measures on the two-layer linear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surefoot.analysis.outliers import OpposingLinearModel, Trajectory


@dataclass(frozen=True)
class Toy:
    """The linear model's flow, its descents by step size, and a run on samples of it."""

    model: OpposingLinearModel
    flow: Trajectory
    predicted: float
    descents: dict[float, Trajectory]
    sample_peak: tuple[float, float]
    """Losses of the two outlier groups in the sampled run, where one of them is highest."""
    sample_error: float
    """Relative error of the closed form for the higher of them there."""


def toy(seed: int, etas: Sequence[float], steps: int, flow_steps: int, samples: int) -> Toy:
    """α = 50, |β| = 10, d = 20, b₀ a random unit vector, s₀ = 0.5, c₀ = 1."""
    direction = torch.randn(20, generator=torch.Generator().manual_seed(seed + 100), dtype=torch.float64)
    model = OpposingLinearModel(alpha=50.0, beta=10 * direction / direction.norm(), k=4, p=0.1)
    start = model.start(s=0.5, c=1.0, seed=seed)
    flow = model.flow(start, dt=5e-4, steps=flow_steps, every=2)
    descents = {eta: model.simulate(start, eta, steps) for eta in etas}
    peak, error = _sampled(model, start, eta=etas[0], steps=steps, n=samples, seed=seed)
    return Toy(model, flow, model.limit(start)[1], descents, peak, error)


def _sampled(
    model: OpposingLinearModel, start: Tensor, eta: float, steps: int, n: int, seed: int
) -> tuple[tuple[float, float], float]:
    """Gradient descent on n samples of the model; group losses at their highest after the signal is learnt."""
    x_b, x_o, y = model.sample(n, seed)
    inputs, sign = torch.cat([x_b, x_o], dim=1), x_o[:, 0].sign()
    w, best, error, learnt = start.clone(), (0.0, 0.0), float("nan"), False
    for _ in range(steps):
        c = w[-1]
        pre = inputs @ w[:-1]
        residual = c * pre - y
        learnt = learnt or float((c * w[: len(model.beta)] - model.beta).norm() / model.beta.norm()) < 0.2
        losses = 0.5 * residual**2
        pair = (float(losses[sign > 0].mean()), float(losses[sign < 0].mean()))
        if learnt and max(pair) > max(best):
            best = (max(pair), min(pair))
            error = abs(max(pair) / float(model.group_losses(w).max()) - 1)
        w = w - eta * torch.cat([c * (residual @ inputs) / n, (residual @ pre / n).reshape(1)])
    return best, error
