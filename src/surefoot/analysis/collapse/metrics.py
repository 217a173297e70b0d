"""How far a net's last features and classifier are from neural collapse: NC1 to NC4, in one pass over the features.

Papyan, Han, Donoho (2020) and, for imbalanced data, arXiv 2301.00437. Streaming: ``state = update(state, …)``, then
:func:`compute`. NC1 = (1/K) tr(Σ_W Σ_B⁺) is taken in the singular vectors of the class means, where Σ_B is diagonal: no
pseudo-inverse of a dim × dim matrix.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Center = Literal["classes", "samples", "none"]
_RANK = 1e-10  # of the largest singular value of the centred means, squared: below it a direction is none


@dataclass(frozen=True)
class CollapseState:
    """What is kept of the features seen: of each class how many, and sums of their differences from its reference.

    The reference is the class's mean in the first batch that had it. Differences from it are as small as the spread
    within classes, however far the classes are apart: what is taken off at the end cancels no digits that count.

    Attributes
    ----------
    counts, reference : of each class
    sums, squares : of each class, of the differences and of their squared lengths
    products : Σ (h − r)(h − r)ᵀ over all samples, r the reference of a sample's class
    """

    counts: Float[Tensor, " classes"]
    reference: Float[Tensor, "classes dim"]
    sums: Float[Tensor, "classes dim"]
    squares: Float[Tensor, " classes"]
    products: Float[Tensor, "dim dim"]

    @property
    def means(self) -> Float[Tensor, "classes dim"]:
        """Of the classes; zero for those that were not seen."""
        return self.reference + self._offsets

    @property
    def spread(self) -> Float[Tensor, " classes"]:
        """Summed squared distances of each class's samples from its mean."""
        return (self.squares - (self.sums * self._offsets).sum(dim=1)).clamp_min(0)

    @property
    def scatter(self) -> Float[Tensor, "dim dim"]:
        """Σ (h − h_k)(h − h_k)ᵀ over all samples."""
        return self.products - self.sums.T @ self._offsets

    @property
    def _offsets(self) -> Tensor:
        return self.sums / self.counts.clamp_min(1)[:, None]


@dataclass(frozen=True)
class CollapseMetrics:
    """Zero means collapsed, unless said otherwise.

    Attributes
    ----------
    nc1 : (1/K) tr(Σ_W Σ_B⁺): spread within classes, measured in the means' own directions and scales
    nc1_trace : tr Σ_W / tr Σ_B
    cdnv : mean over pairs of classes of (v_k + v_l) / (2 ‖h_k − h_l‖²)
    nc2_etf, nc2_of : ‖G/‖G‖ − T/‖T‖‖ of the means' Gram matrix against the simplex's (means centred) and an orthogonal
        frame's
    nc2_target : the same against a target Gram matrix; None without one
    nc3 : ‖A/‖A‖ − H̄ᵀ/‖H̄‖‖ of the classifier against the (centred) means; None without a classifier
    nc4 : share of class means that the classifier puts where the nearest mean does: 1 when collapsed; None without one
    equinorm_cv : coefficient of variation of the means' lengths
    angle_mean, angle_std : of the cosines between means
    """

    nc1: float
    nc1_trace: float
    cdnv: float
    nc2_etf: float
    nc2_of: float
    nc2_target: float | None
    nc3: float | None
    nc4: float | None
    equinorm_cv: float
    angle_mean: float
    angle_std: float


def collapse_state(classes: int, dim: int, dtype: torch.dtype = torch.float64) -> CollapseState:
    """An empty state.

    Raises
    ------
    ValueError
        For fewer than 2 classes or 1 dimension.
    """
    if classes < 2 or dim < 1:
        raise ValueError(f"classes, dim: got {classes}, {dim}; must be at least 2 and 1")
    shapes = ((classes,), (classes, dim), (classes, dim), (classes,), (dim, dim))
    return CollapseState(*(torch.zeros(shape, dtype=dtype) for shape in shapes))


def update(state: CollapseState, features: Float[Tensor, "batch dim"], labels: Int[Tensor, " batch"]) -> CollapseState:
    """The state with a batch more; one product of the batch's features with themselves.

    Raises
    ------
    ValueError
        For features of another width, labels of another number or out of range.
    """
    classes, dim = state.reference.shape
    if features.dim() != 2 or features.shape[1] != dim:
        raise ValueError(f"features: got shape {tuple(features.shape)}; must be (batch, {dim})")
    if labels.shape != (len(features),):
        raise ValueError(f"labels: got shape {tuple(labels.shape)}; must be ({len(features)},), one a row")
    if not len(labels):
        return state
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels: got {int(labels.min())} … {int(labels.max())}; must be in 0 … {classes - 1}")
    x = features.detach().to(state.sums)
    labels = labels.to(x.device)
    counts = torch.zeros_like(state.counts).index_add_(0, labels, torch.ones_like(x[:, 0]))
    reference, new = state.reference, (state.counts == 0) & (counts > 0)
    if bool(new.any()):
        means = torch.zeros_like(reference).index_add_(0, labels, x) / counts.clamp_min(1)[:, None]
        reference = torch.where(new[:, None], means, reference)
    rest = x - reference[labels]
    return CollapseState(
        state.counts + counts,
        reference,
        state.sums.index_add(0, labels, rest),
        state.squares.index_add(0, labels, rest.square().sum(dim=1)),
        torch.addmm(state.products, rest.T, rest),
    )


def compute(
    state: CollapseState,
    weight: Float[Tensor, "classes dim"] | None = None,
    bias: Float[Tensor, " classes"] | None = None,
    target: Float[Tensor, "classes classes"] | None = None,
    center: Center = "classes",
) -> CollapseMetrics:
    """The metrics of what was seen.

    Parameters
    ----------
    state : of :func:`update`; every class must have been seen
    weight, bias : of the classifier on these features (the product of all linear layers above)
    target : Gram matrix that the means should have, such as ``collapse_prediction(…).gram_means``
    center : what is taken off the means: their own mean, that over samples, or nothing (bias-free nets, whose classes
        become orthogonal and not a simplex)

    Raises
    ------
    ValueError
        If a class was never seen; for a weight or target of another shape; an unknown ``center``.
    """
    classes, dim = state.reference.shape
    missing = (state.counts == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(f"state: no sample of class {', '.join(map(str, missing[:5]))} was seen; metrics need all")
    if center not in ("classes", "samples", "none"):
        raise ValueError(f"center: got {center!r}; must be 'classes', 'samples' or 'none'")
    if weight is not None and weight.shape != (classes, dim):
        raise ValueError(f"weight: got shape {tuple(weight.shape)}; must be ({classes}, {dim})")
    if target is not None and target.shape != (classes, classes):
        raise ValueError(f"target: got shape {tuple(target.shape)}; must be ({classes}, {classes})")
    if bool((state.counts < 2).any()):
        warnings.warn("state: a class with one sample has no spread; it counts as collapsed", stacklevel=2)
    seen, spread = state.means, state.spread
    middle = {
        "classes": seen.mean(dim=0),
        "samples": (state.counts[:, None] * seen).sum(dim=0) / state.counts.sum(),
        "none": torch.zeros_like(seen[0]),
    }[center]
    means = seen - middle
    total = float(state.counts.sum())
    between = float(means.square().sum()) / classes
    gram = means @ means.T
    lengths = gram.diagonal().clamp_min(0).sqrt()
    cosines = (gram / (lengths[:, None] * lengths).clamp_min(torch.finfo(gram.dtype).tiny))[_pairs(classes)]
    eye = torch.eye(classes).to(gram)
    own = weight.detach().to(means) if weight is not None else None
    return CollapseMetrics(
        nc1=_within_over_between(means, state.scatter / total),
        nc1_trace=float(spread.sum()) / total / between if between else float("nan"),
        cdnv=_distance_normalised(seen, spread / state.counts),
        nc2_etf=normalised_distance(_centred_gram(seen), eye - 1 / classes),
        nc2_of=normalised_distance(gram, eye),
        nc2_target=None if target is None else normalised_distance(gram, target.to(gram)),
        nc3=None if own is None else normalised_distance(own, means),
        nc4=None if own is None else _agreement(seen, own, bias),
        equinorm_cv=float(lengths.std(correction=0) / lengths.mean()) if float(lengths.mean()) else float("nan"),
        angle_mean=float(cosines.mean()),
        angle_std=float(cosines.std(correction=0)),
    )


def normalised_distance(a: Tensor, b: Tensor) -> float:
    """‖A/‖A‖ − B/‖B‖‖_F: 0 if one is a positive multiple of the other; NaN if one is zero."""
    if not bool(a.any()) or not bool(b.any()):
        return float("nan")
    return float((a / a.norm() - b / b.norm()).norm())


def _centred_gram(means: Tensor) -> Tensor:
    centred = means - means.mean(dim=0)
    return centred @ centred.T


def _within_over_between(means: Tensor, within: Tensor) -> float:
    """(1/K) tr(Σ_W Σ_B⁺), Σ_B = MᵀM/K: in the coordinates of the means' own singular vectors Σ_B is diagonal."""
    _, values, directions = torch.linalg.svd(means, full_matrices=False)
    kept = values.square() > _RANK * values.square().max()
    if not bool(kept.any()):
        return float("nan")
    along = ((directions[kept] @ within) * directions[kept]).sum(dim=1)
    return float((along / values[kept].square()).sum())


def _distance_normalised(means: Tensor, variances: Tensor) -> float:
    """Galanti, György, Hutter, arXiv 2112.15121."""
    distances = torch.cdist(means, means).square()
    pairs = _pairs(len(variances))
    return float(((variances[:, None] + variances) / (2 * distances))[pairs].mean())


def _agreement(means: Tensor, weight: Tensor, bias: Tensor | None) -> float:
    scores = means @ weight.T + (0 if bias is None else bias.detach().to(means))
    return float((scores.argmax(dim=1) == torch.arange(len(means), device=means.device)).double().mean())


def _pairs(classes: int) -> Tensor:
    return ~torch.eye(classes, dtype=torch.bool)
