"""The geometry to which the last layers of a net collapse under the squared loss, in closed form, before any training.

Dang, Tran, Osher, Tran-The, Ho, Nguyen, "Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data",
ICML 2023, arXiv 2301.00437. Features are free variables (the unconstrained features model) below M linear layers
without biases:

    F = (1/2N) ‖W_M … W_1 H − Y‖² + Σ (λ_j/2) ‖W_j‖² + (λ_H/2) ‖H‖².                                              (1)

Minimising over H and all rotations leaves one scalar problem a class, in x_k = (P_k / (N λ_H))^(1/M) with P_k the
squared singular value of the product of the layers:

    F = Σ (n_k/2N) [ 1/(x_k^M + 1) + (b/n_k) x_k ],   b = M N (N λ_1 … λ_M λ_H)^(1/M).                             (2)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from surefoot.plots import figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

Reduction = Literal["sum", "mean"]
_HALVINGS = 200


@dataclass(frozen=True)
class CollapsePrediction:
    """The global minimiser of (1), up to rotations.

    Attributes
    ----------
    counts : samples of each class
    x, product_sv2 : x_k and P_k of each class; 0 where it collapses
    first_layer_sv2 : squared singular values of W_1
    mean_norm2 : squared length of each class's mean feature
    logits : its own logit; in a bias-free net the others are 0
    collapsed : classes whose mean and classifier row are zero: minority collapse
    loss : F at the minimum
    gram_classifier, gram_means, logit_matrix : A Aᵀ, H̄ᵀH̄ and A H̄, A the product of all layers
    bias : of the last layer, (K,), or None
    threshold : classes with b/n_k above it collapse
    """

    counts: Float[Tensor, " classes"]
    x: Float[Tensor, " classes"]
    product_sv2: Float[Tensor, " classes"]
    first_layer_sv2: Float[Tensor, " classes"]
    mean_norm2: Float[Tensor, " classes"]
    logits: Float[Tensor, " classes"]
    collapsed: Bool[Tensor, " classes"]
    loss: float
    gram_classifier: Float[Tensor, "classes classes"]
    gram_means: Float[Tensor, "classes classes"]
    logit_matrix: Float[Tensor, "classes classes"]
    bias: Float[Tensor, " classes"] | None
    threshold: float

    def plot(self) -> go.Figure:
        """Each class's logit and mean length against its count."""
        order = torch.argsort(self.counts, descending=True)
        traces = [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": self.counts[order].tolist(),
                "y": y.tolist(),
                "name": name,
            }
            for name, y in (("own logit", self.logits[order]), ("length of the mean", self.mean_norm2[order].sqrt()))
        ]
        return figure(traces, title="Predicted collapse", x="samples of the class", log_x=True)


def minority_threshold(depth: int) -> float:
    """b/n_k above which a class collapses to zero: 1 for one layer, (M − 1)^((M−1)/M) / M for M ≥ 2.

    Raises
    ------
    ValueError
        For a depth below 1.
    """
    _check_depth(depth)
    return 1.0 if depth == 1 else (depth - 1) ** ((depth - 1) / depth) / depth


def max_safe_decay(class_counts: Sequence[int], depth: int = 1) -> float:
    """The largest decay, the same for all layers and the features, at which no class collapses.

    λ = [ (thr · n_min / (M N))^M / N ]^(1/(M+1)); √n_min / N for one layer.
    """
    counts = _counts(class_counts)
    total = float(counts.sum())
    inner = minority_threshold(depth) * float(counts.min()) / (depth * total)
    return (inner**depth / total) ** (1 / (depth + 1))


def collapse_prediction(
    class_counts: Sequence[int],
    weight_decays: float | Sequence[float],
    feature_decay: float,
    *,
    bias: bool = False,
    width: int | None = None,
    reduction: Reduction = "sum",
) -> CollapsePrediction:
    """What (1) collapses to.

    Parameters
    ----------
    class_counts : n_k
    weight_decays : λ_1 … λ_M, first layer first; a number for one layer
    feature_decay : λ_H, on the sum of the squared features
    bias : an unregularised bias of the last layer; for balanced classes only, which then form a simplex
    width : narrowest width; below K only that many classes survive, the largest (ties: the first)
    reduction : ``"sum"`` as in (1); ``"mean"`` for (λ_W/2K)‖W‖² + (λ_H/2N)‖H‖², which is divided out here

    Raises
    ------
    ValueError
        For counts that are not positive integers, decays that are not positive, a width below 1, a bias with
        imbalanced classes or more than one layer.
    """
    counts = _counts(class_counts)
    decays = [float(weight_decays)] if isinstance(weight_decays, int | float) else [float(d) for d in weight_decays]
    depth, classes, total = len(decays), len(counts), float(counts.sum())
    _check_depth(depth)
    if min(decays) <= 0 or not feature_decay > 0:
        raise ValueError(f"weight_decays, feature_decay: got {decays}, {feature_decay}; must be positive")
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: got {reduction!r}; must be 'sum' or 'mean'")
    if width is not None and width < 1:
        raise ValueError(f"width: got {width}; must be at least 1")
    if bias and (depth > 1 or bool((counts != counts[0]).any())):
        raise ValueError("bias: its closed form is for one layer and balanced classes; use bias=False")
    if reduction == "mean":
        decays, feature_decay = [d / classes for d in decays], feature_decay / total
    b = depth * total * (total * math.prod(decays) * feature_decay) ** (1 / depth)
    x = _roots(b / counts, depth)
    survivors = classes if width is None else min(width, classes)
    if bias:
        survivors = min(survivors, classes - 1)  # the simplex has K − 1 equal directions
    if survivors < classes and not bias:
        kept = torch.zeros(classes, dtype=torch.bool)
        kept[torch.argsort(counts, descending=True, stable=True)[:survivors]] = True
        x = torch.where(kept, x, 0.0)
    product = total * feature_decay * x**depth
    logits = x**depth / (x**depth + 1)
    norms = product / (product + total * feature_decay) ** 2
    scale = decays[0] ** (depth - 1) / math.prod(decays[1:]) if depth > 1 else 1.0
    first = (product / scale) ** (1 / depth)
    terms = counts / (2 * total) * (1 / (x**depth + 1) + b / counts * x)
    eye = torch.eye(classes, dtype=torch.float64)
    offset = None
    if bias:
        # K − 1 equal directions instead of K; the bias takes the mean of the targets off
        eye = eye - 1 / classes
        offset = torch.full((classes,), 1 / classes, dtype=torch.float64)
        terms = terms * (classes - 1) / classes
    return CollapsePrediction(
        counts=counts,
        x=x,
        product_sv2=product,
        first_layer_sv2=first,
        mean_norm2=norms if not bias else norms * (1 - 1 / classes),
        logits=logits if not bias else logits * (1 - 1 / classes) + 1 / classes,
        collapsed=x == 0,
        loss=float(terms.sum()),
        gram_classifier=product.sqrt()[:, None] * eye * product.sqrt(),
        gram_means=norms.sqrt()[:, None] * eye * norms.sqrt(),
        logit_matrix=logits.sqrt()[:, None] * eye * logits.sqrt(),
        bias=offset,
        threshold=minority_threshold(depth),
    )


def _roots(ratio: Tensor, depth: int) -> Tensor:
    """The global minimiser of 1/(x^M + 1) + ratio · x over x ≥ 0, for each ratio."""
    if depth == 1:
        return (ratio.rsqrt() - 1).clamp_min(0)
    # Stationary: M x^(M−1) / (x^M + 1)² = ratio, whose left side falls to the right of its peak. The larger root is a
    # minimum, but below the value at x = 0 only up to the threshold.
    m = float(depth)
    peak = ((m - 1) / (m + 1)) ** (1 / m)
    low = torch.full_like(ratio, peak)
    high = torch.maximum((m / ratio) ** (1 / (m + 1)), low) + 1  # the left side is below M x^(−M−1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # in logarithms: x^M leaves float64's range for deep nets
        power = m * middle.log()
        above = math.log(m) + (m - 1) * middle.log() - 2 * torch.nn.functional.softplus(power) > ratio.log()
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.where(ratio > minority_threshold(depth), 0.0, (low + high) / 2)


def _counts(class_counts: Sequence[int]) -> Tensor:
    counts = torch.as_tensor(class_counts)
    if counts.dim() != 1 or not len(counts) or counts.dtype.is_floating_point or bool((counts < 1).any()):
        raise ValueError(f"class_counts: got {class_counts!r}; must be positive integers, one a class")
    return counts.double()


def _check_depth(depth: int) -> None:
    if depth < 1:
        raise ValueError(f"depth: got {depth}; must be at least 1 linear layer")
