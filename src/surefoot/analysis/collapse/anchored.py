"""Features that may move a little: the model of a layer or a short block near collapse, its minimiser and its flow.

Tirer, Huang, Niles-Weed, "Perturbation Analysis of Neural Collapse", ICML 2023, arXiv 2210.16658. K classes of n
samples, features H (d × Kn) anchored at given ones H₀ with a stiffness β,

    L(W, H) = (1/2Kn)‖WH − Y‖² + (λ_w/2K)‖W‖² + (λ_h/2Kn)‖H‖²,    f = L + (β/2Kn)‖H − H₀‖².

1/β is the power of the block between H₀ and H. The squared distances are means over samples: λ_w, λ_h of
:mod:`surefoot.analysis.collapse.prediction` are λ_w/K and λ_h/(Kn) of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefoot.analysis.collapse.frames import orthogonal_frame
from surefoot.plots import figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

Features = Float[Tensor, "dim total"]
Weight = Float[Tensor, "classes dim"]
Labels = Int[Tensor, " total"]


@dataclass(frozen=True)
class CollapsedPair:
    """A collapsed minimiser of L: W (K × d), H (d × Kn), c = √(λ_w λ_h) and ρ, the squared length of a class's mean."""

    weight: Weight
    features: Features
    labels: Labels
    c: float
    rho: float


def ufm_minimizer(
    classes: int, samples: int, dim: int, weight_decay: float, feature_decay: float, seed: int = 0
) -> CollapsedPair:
    """A global minimiser of L for balanced classes: H = √ρ R ⊗ 1ᵀ, W = √(λ_h/λ_w) √ρ Rᵀ with orthonormal columns R.

    Raises
    ------
    ValueError
        If c ≥ 1, where the minimiser is zero; for too few dimensions, classes or samples, decays not positive.
    """
    _check_decays(weight_decay, feature_decay)
    if samples < 1:
        raise ValueError(f"samples: got {samples}; must be at least 1 a class")
    c = math.sqrt(weight_decay * feature_decay)
    if c >= 1:
        raise ValueError(
            f"weight_decay, feature_decay: √(λ_w λ_h) = {c:.3g} ≥ 1, where the minimiser is zero; make one smaller"
        )
    basis = orthogonal_frame(classes, dim, seed)
    rho = (1 - c) * math.sqrt(weight_decay / feature_decay)
    labels = torch.repeat_interleave(torch.arange(classes), samples)
    weight = math.sqrt(feature_decay / weight_decay * rho) * basis.T
    return CollapsedPair(weight, (math.sqrt(rho) * basis)[:, labels], labels, c, rho)


def ufm_loss(
    weight: Weight, features: Features, labels: Labels, weight_decay: float, feature_decay: float
) -> Float[Tensor, ""]:
    """L; classes may be imbalanced, with 1/N in place of 1/(Kn)."""
    total, classes = features.shape[1], len(weight)
    fit = (weight @ features - one_hot(labels, classes, features)).square().sum() / (2 * total)
    decays = (
        weight_decay / (2 * classes) * weight.square().sum() + feature_decay / (2 * total) * features.square().sum()
    )
    return fit + decays


def optimal_classifier(features: Features, labels: Labels, weight_decay: float, classes: int | None = None) -> Weight:
    """The W that minimises L for these features: Y Hᵀ (H Hᵀ + (N/K) λ_w I)⁻¹."""
    classes = checked_labels(features, labels, classes)
    if not weight_decay > 0:
        raise ValueError(f"weight_decay: got {weight_decay}; must be positive")
    gram = features @ features.T
    gram.diagonal().add_(features.shape[1] / classes * weight_decay)
    right = one_hot(labels, classes, features) @ features.T
    return torch.linalg.solve(gram, right, left=False)


def central_path_loss(
    features: Features, labels: Labels, weight_decay: float, feature_decay: float
) -> Float[Tensor, ""]:
    """L at the best classifier of these features."""
    weight = optimal_classifier(features, labels, weight_decay)
    return ufm_loss(weight, features, labels, weight_decay, feature_decay)


def anchored_minimizer(
    anchor: Features,
    labels: Labels,
    weight_decay: float,
    feature_decay: float,
    beta: float,
    tol: float = 1e-12,
    max_iter: int = 100_000,
) -> tuple[Weight, Features]:
    """The minimiser of f, by alternating the exact minima in W and in H, from H₀.

    Parameters
    ----------
    anchor : H₀
    beta : stiffness, positive
    tol : stop when H moves by less than this, relative to its length
    max_iter : alternations at most

    Raises
    ------
    ValueError
        For β or a decay that is not positive, labels that are not 0 … K − 1.
    RuntimeError
        If it does not settle.
    """
    _check_decays(weight_decay, feature_decay)
    if not beta > 0:
        raise ValueError(f"beta: got {beta}; must be positive")
    classes = checked_labels(anchor, labels)
    targets = one_hot(labels, classes, anchor)
    features = anchor.clone()
    for _ in range(max_iter):
        weight = optimal_classifier(features, labels, weight_decay)
        gram = weight.T @ weight
        gram.diagonal().add_(feature_decay + beta)
        moved = torch.linalg.solve(gram, weight.T @ targets + beta * anchor)
        change = float((moved - features).norm())
        features = moved
        if change <= tol * float(features.norm().clamp_min(1)):
            return optimal_classifier(features, labels, weight_decay), features
    raise RuntimeError(f"max_iter: {max_iter} alternations left H moving by {change:.2g}; give more, or a larger tol")


@dataclass(frozen=True)
class FlowResult:
    """Features along the flow: times, tr Σ_W / tr Σ_B (``nc1``), both traces, and the features at the end."""

    t: Float[Tensor, " steps"]
    nc1: Float[Tensor, " steps"]
    trace_within: Float[Tensor, " steps"]
    trace_between: Float[Tensor, " steps"]
    features: Features

    def plot(self) -> go.Figure:
        """NC1 and both traces over time."""
        traces = [
            {"type": "scatter", "x": self.t.tolist(), "y": y.tolist(), "name": name}
            for name, y in (
                ("tr Σ_W / tr Σ_B", self.nc1), ("tr Σ_W", self.trace_within), ("tr Σ_B", self.trace_between)
            )
        ]  # fmt: skip
        return figure(traces, title="Flow of the features", x="t", log_y=True)


def central_path_flow(
    anchor: Features,
    labels: Labels,
    weight_decay: float,
    feature_decay: float,
    t_max: float,
    dt: float | None = None,
    method: Literal["euler", "rk4"] = "rk4",
) -> FlowResult:
    """The flow dH/dt = −[Wᵀ(WH − Y) + λ_h H] at the best W of each moment: features free to move, classifier at rest.

    For balanced classes tr Σ_W / tr Σ_B falls at every moment, e^{2λ_h t} tr Σ_W falls, e^{2λ_h t} tr Σ_B rises
    (theorem on the flow). No derivative of W is needed, by the envelope theorem.

    Parameters
    ----------
    anchor : H at t = 0
    t_max : where to stop
    dt : step; by default a tenth of what Euler needs, 2 / (‖W‖² + λ_h), at the start

    Raises
    ------
    ValueError
        For times that are not positive, decays that are negative or a λ_w of zero, an unknown method.
    """
    if not t_max > 0 or (dt is not None and not dt > 0):
        raise ValueError(f"t_max, dt: got {t_max}, {dt}; must be positive")
    if method not in ("euler", "rk4"):
        raise ValueError(f"method: got {method!r}; must be 'euler' or 'rk4'")
    if feature_decay < 0:
        raise ValueError(f"feature_decay: got {feature_decay}; must be at least 0")
    classes = checked_labels(anchor, labels)
    targets = one_hot(labels, classes, anchor)

    def velocity(h: Tensor) -> Tensor:
        weight = optimal_classifier(h, labels, weight_decay)
        return -(weight.T @ (weight @ h - targets) + feature_decay * h)

    if dt is None:
        stiff = float(torch.linalg.matrix_norm(optimal_classifier(anchor, labels, weight_decay), 2)) ** 2
        dt = 0.2 / (stiff + feature_decay)
    steps = max(1, math.ceil(t_max / dt - 1e-9))
    dt = t_max / steps
    features, rows = anchor.clone(), []
    for step in range(steps + 1):
        rows.append((step * dt, *traces(features, labels)))
        if step == steps:
            break
        k1 = velocity(features)
        if method == "euler":
            features = features + dt * k1
            continue
        k2 = velocity(features + dt / 2 * k1)
        k3 = velocity(features + dt / 2 * k2)
        k4 = velocity(features + dt * k3)
        features = features + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    t, within, between = torch.tensor(rows, dtype=torch.float64).T
    return FlowResult(t, within / between, within, between, features)


def traces(features: Features, labels: Labels) -> tuple[float, float]:
    """tr Σ_W and tr Σ_B, class means centred at their own mean."""
    means = class_means(features, labels)
    within = float((features - means[:, labels]).square().sum()) / features.shape[1]
    return within, float((means - means.mean(dim=1, keepdim=True)).square().sum()) / means.shape[1]


def class_means(features: Features, labels: Labels) -> Float[Tensor, "dim classes"]:
    """The mean feature of each class, a column a class."""
    classes = checked_labels(features, labels)
    sums = torch.zeros(len(features), classes).to(features).index_add_(1, labels, features)
    return sums / torch.bincount(labels, minlength=classes).to(features)


def one_hot(labels: Labels, classes: int, like: Tensor) -> Float[Tensor, "classes total"]:
    """Y."""
    return torch.nn.functional.one_hot(labels, classes).T.to(like)


def checked_labels(features: Features, labels: Labels, classes: int | None = None) -> int:
    """The number of classes, once it is clear that labels are 0 … K − 1, one a column, each class there.

    Raises
    ------
    ValueError
        Otherwise.
    """
    if labels.shape != (features.shape[1],):
        raise ValueError(f"labels: got shape {tuple(labels.shape)}; must be ({features.shape[1]},), one a column of H")
    counts = torch.bincount(labels, minlength=classes or 0) if int(labels.min()) >= 0 else torch.zeros(1)
    if not bool((counts > 0).all()) or (classes is not None and len(counts) != classes):
        raise ValueError(f"labels: hold {int(labels.min())} … {int(labels.max())}; must be 0 … K − 1, each class there")
    return len(counts)


def _check_decays(weight_decay: float, feature_decay: float) -> None:
    if not weight_decay > 0 or not feature_decay > 0:
        raise ValueError(f"weight_decay, feature_decay: got {weight_decay}, {feature_decay}; must be positive")
