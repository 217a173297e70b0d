"""How the anchored minimiser answers a small change of what it is anchored at, and what that says near collapse.

Tirer, Huang, Niles-Weed, arXiv 2210.16658: with second derivatives of f at the minimiser,

    dH = (β/Kn) (f_HH − f_HW f_WW⁻¹ f_WH)⁻¹ dH₀.

At collapse the block that maps a class's perturbations to itself has five values in closed form: spread within classes
shrinks by 1 − √(λ_h/λ_w)/β inside the classifier's span and by 1 − λ_h/β outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.analysis.collapse.anchored import Features, Labels, Weight, checked_labels, class_means, one_hot, traces

LARGEST_DENSE = 4000
_TOL = 1e-12


class PerturbationOperator:
    """dH₀ → dH at a minimiser of f, by solves with d × d matrices; nothing of size dKn × dKn is formed.

    Parameters
    ----------
    weight, features : the minimiser for some anchor
    labels : 0 … K − 1
    weight_decay, feature_decay, beta : of f
    expand : the expansion to first order in 1/β instead of the exact answer

    Raises
    ------
    ValueError
        For shapes that do not fit, β or a decay that is not positive.
    """

    def __init__(
        self,
        weight: Weight,
        features: Features,
        labels: Labels,
        weight_decay: float,
        feature_decay: float,
        beta: float,
        expand: bool = False,
    ) -> None:
        classes = checked_labels(features, labels, len(weight))
        if weight.shape[1] != len(features):
            raise ValueError(f"weight: got shape {tuple(weight.shape)}; must be ({classes}, {len(features)})")
        if not beta > 0 or not weight_decay > 0 or not feature_decay >= 0:
            raise ValueError(
                f"weight_decay, feature_decay, beta: got {weight_decay}, {feature_decay}, {beta}; must be positive"
            )
        self._w, self._h, self._labels = weight, features, labels
        self._beta, self._decay, self._expand = beta, feature_decay, expand
        self._rest = weight @ features - one_hot(labels, classes, features)
        gram = features @ features.T
        gram.diagonal().add_(features.shape[1] / classes * weight_decay)
        self._classifier = torch.linalg.cholesky(gram)  # Kn f_WW, K rows at a time
        own = weight.T @ weight
        own.diagonal().add_(feature_decay + beta)
        self._own = torch.linalg.cholesky(own)  # Kn f_HH, a column at a time
        self.shape = (features.numel(), features.numel())

    def cross(self, change: Features) -> Weight:
        """Kn f_WH dH = W dH Hᵀ + (WH − Y) dHᵀ; zero for spread within classes, exactly."""
        return self._w @ change @ self._h.T + self._rest @ change.T

    def _back(self, weight: Weight) -> Features:
        """The transpose of :meth:`cross`."""
        return self._w.T @ weight @ self._h + weight.T @ self._rest

    def _lifted(self, change: Features) -> Features:
        """f_HW f_WW⁻¹ f_WH dH, times Kn."""
        inner = self.cross(change)
        return self._back(torch.cholesky_solve(inner.T, self._classifier).T)

    def matvec(self, change: Features) -> Features:
        """dH for a change dH₀ of the anchor.

        Raises
        ------
        ValueError
            For a change of another shape.
        """
        if change.shape != self._h.shape:
            raise ValueError(f"change: got shape {tuple(change.shape)}; must be {tuple(self._h.shape)}")
        if self._expand:
            return change - (self._decay * change + self._w.T @ (self._w @ change) - self._lifted(change)) / self._beta
        # (f_HH − lifted) dH = β dH₀ by CG, with f_HH as the preconditioner
        right = self._beta * change
        x = torch.cholesky_solve(right, self._own)
        residual = right - self._schur(x)
        z = torch.cholesky_solve(residual, self._own)
        direction, size = z, float((residual * z).sum())
        limit = _TOL**2 * float((right * torch.cholesky_solve(right, self._own)).sum())
        for _ in range(2 * change.numel()):
            if size <= limit:
                break
            image = self._schur(direction)
            step = size / float((direction * image).sum())
            x, residual = x + step * direction, residual - step * image
            z = torch.cholesky_solve(residual, self._own)
            size, before = float((residual * z).sum()), size
            direction = z + size / before * direction
        return x

    def classifier_change(self, change: Features) -> Weight:
        """dW for a change dH of the features: −f_WW⁻¹ f_WH dH."""
        return -torch.cholesky_solve(self.cross(change).T, self._classifier).T

    def _schur(self, change: Features) -> Features:
        own = self._w.T @ (self._w @ change) + (self._decay + self._beta) * change
        return own - self._lifted(change)

    def dense(self) -> Float[Tensor, "n n"]:
        """The matrix over features with columns stacked.

        Raises
        ------
        ValueError
            For more than 4,000 entries of H.
        """
        size = self._h.numel()
        if size > LARGEST_DENSE:
            raise ValueError(f"features: {size} entries; a dense matrix is for {LARGEST_DENSE} at most, use matvec()")
        columns = []
        for i in range(size):
            unit = torch.zeros(size, dtype=self._h.dtype)
            unit[i] = 1
            columns.append(self.matvec(_unstacked(unit, self._h)).T.reshape(-1))
        return torch.stack(columns, dim=1)

    def block(self, to: int, source: int) -> Float[Tensor, "rows columns"]:
        """How perturbations of class ``source`` move features of class ``to``."""
        d = len(self._h)
        rows, columns = (torch.nonzero(self._labels == k).flatten() for k in (to, source))
        found = []
        for j in columns.tolist():
            for i in range(d):
                change = torch.zeros_like(self._h)
                change[i, j] = 1
                found.append(self.matvec(change)[:, rows].T.reshape(-1))
        return torch.stack(found, dim=1)


def _unstacked(vector: Tensor, like: Tensor) -> Tensor:
    return vector.reshape(like.shape[1], like.shape[0]).T


def near_collapse_spectrum(
    classes: int, dim: int, samples: int, weight_decay: float, feature_decay: float, beta: float
) -> list[tuple[float, int]]:
    """Singular values, with multiplicities, of the block of a class on itself at collapse; to first order in 1/β.

    In this order: means outside the classifier's span (1), spread outside it (1 − λ_h/β), spread inside it
    (1 − √(λ_h/λ_w)/β), the mean along other classes (1 − 2λ_h(1−c)/β) and along its own (1 − 4λ_h(1−c)/β).

    Raises
    ------
    ValueError
        For sizes that are not positive, d < K, c ≥ 1, β or a decay that is not positive.
    """
    if classes < 2 or samples < 1 or dim < classes:
        raise ValueError(f"classes, samples, dim: got {classes}, {samples}, {dim}; must be ≥ 2, ≥ 1 and dim ≥ classes")
    if not (weight_decay > 0 and feature_decay > 0 and beta > 0):
        raise ValueError(
            f"weight_decay, feature_decay, beta: got {weight_decay}, {feature_decay}, {beta}; must be positive"
        )
    c = math.sqrt(weight_decay * feature_decay)
    if c >= 1:
        raise ValueError(f"weight_decay, feature_decay: √(λ_w λ_h) = {c:.3g} ≥ 1: the collapse is to zero")
    mean = 2 * feature_decay * (1 - c) / beta
    return [
        (1.0, dim - classes),
        (1 - feature_decay / beta, (dim - classes) * (samples - 1)),
        (1 - math.sqrt(feature_decay / weight_decay) / beta, classes * (samples - 1)),
        (1 - mean, classes - 1),
        (1 - 2 * mean, 1),
    ]


@dataclass(frozen=True)
class Spread:
    """tr Σ_W inside and outside the span of a classifier's rows, and tr Σ_B."""

    inside: float
    outside: float
    between: float

    @property
    def nc1(self) -> float:
        """tr Σ_W / tr Σ_B; inf where the means coincide."""
        return (self.inside + self.outside) / self.between if self.between else math.inf


def spread(features: Features, labels: Labels, weight: Weight) -> Spread:
    """Where the spread within classes lies."""
    total, between = traces(features, labels)
    rest = features - class_means(features, labels)[:, labels]
    basis = torch.linalg.svd(weight, full_matrices=False)
    kept = basis.Vh[1e-10 * basis.S.max() < basis.S]
    inside = float((kept @ rest).square().sum()) / features.shape[1]
    return Spread(inside, max(0.0, total - inside), between)


def predicted_spread(before: Spread, weight_decay: float, feature_decay: float, beta: float) -> Spread:
    """The spread after one block near collapse: both parts shrink by their squared factors, the means stay."""
    inside = 1 / (1 + (math.sqrt(feature_decay / weight_decay)) / beta)
    outside = 1 / (1 + feature_decay / beta)
    return Spread(before.inside * inside**2, before.outside * outside**2, before.between)


def effective_beta(before: Spread, after: Spread, weight_decay: float, feature_decay: float) -> float:
    """The stiffness of a block that shrinks the spread inside the span as much as was measured; inf if it does not."""
    if not before.inside > 0 or not 0 < after.inside < before.inside:
        return math.inf
    # relative to the means: a block that scales everything does not collapse
    ratio = math.sqrt((after.inside / after.between) / (before.inside / before.between))
    return math.sqrt(feature_decay / weight_decay) * ratio / (1 - ratio) if ratio < 1 else math.inf


def decay_sensitivity(before: Spread, weight_decay: float, feature_decay: float, beta: float) -> tuple[float, float]:
    """d log NC1 / d log λ_h and d log NC1 / d log λ_w after one block: feature decay always helps, the other hurts."""
    after = predicted_spread(before, weight_decay, feature_decay, beta)
    total = after.inside + after.outside
    if not total > 0:
        return 0.0, 0.0
    root = math.sqrt(feature_decay / weight_decay) / beta
    inside = -root / (1 + root)  # half of a doubled exponent
    outside = -2 * (feature_decay / beta) / (1 + feature_decay / beta)
    return (after.inside * inside + after.outside * outside) / total, -after.inside * inside / total
