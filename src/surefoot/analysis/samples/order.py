"""The order in which labels come: what one batch shows of it, against what shuffled data would show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelOrder:
    """The labels of one batch, in the order in which they came.

    Attributes
    ----------
    repeats : share of neighbours with the same label
    purity : the chance that two different rows of this batch have the same label, Σ n_c (n_c − 1) / (n (n − 1)):
        1 where all labels are one class. In shuffled data both have the expectation Σ p_c².
    majority : the most frequent label
    classes : how many different labels
    rising : labels never fall from one row to the next, and are not all the same
    contiguous : no label between the lowest and the highest is missing
    """

    repeats: float
    purity: float
    majority: int
    classes: int
    rising: bool
    contiguous: bool


def label_order(labels: np.ndarray) -> LabelOrder:
    """Statistics of the class labels of one batch.

    Parameters
    ----------
    labels : ``(n,)`` whole numbers, in the batch's own order; n is 2 at least

    Raises
    ------
    ValueError
        For fewer than two labels, or another number of dimensions.
    """
    if labels.ndim != 1 or len(labels) < 2:
        raise ValueError(f"labels: got shape {labels.shape}; must be (n,) with two labels at least")
    n = len(labels)
    found, counts = np.unique(labels, return_counts=True)
    change = np.diff(labels)
    return LabelOrder(
        repeats=float((change == 0).mean()),
        purity=float((counts * (counts - 1.0)).sum() / (n * (n - 1.0))),
        majority=int(found[counts.argmax()]),
        classes=len(found),
        rising=len(found) > 1 and bool((change >= 0).all()),
        contiguous=bool(found[-1] - found[0] == len(found) - 1),
    )


def target_order(targets: np.ndarray) -> tuple[float, bool]:
    """Lag-1 autocorrelation of real-valued targets about their own mean, and whether they never fall (or never rise).

    Shuffled targets have an autocorrelation of −1/n, give or take 1/√n; sorted ones are near +1. NaN where all are
    the same.

    Raises
    ------
    ValueError
        For fewer than two targets, or another number of dimensions.
    """
    if targets.ndim != 1 or len(targets) < 2:
        raise ValueError(f"targets: got shape {targets.shape}; must be (n,) with two targets at least")
    centred = targets.astype(np.float64) - targets.mean()
    total = float(centred @ centred)
    change = np.diff(targets)
    moved = bool((change != 0).any())
    if total == 0:
        return float("nan"), False
    return float(centred[:-1] @ centred[1:]) / total, moved and bool((change >= 0).all() or (change <= 0).all())
