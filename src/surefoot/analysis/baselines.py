"""The loss of the best constant prediction: what a model that learnt nothing from its inputs would get."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def constant_cross_entropy(targets: Int[Tensor, ...], num_classes: int, ignore_index: int = -100) -> Tensor:
    """Entropy in nats of the label frequencies in a batch, 0-d; NaN where no label counts, or too few for the classes.

    No constant prediction has a lower cross-entropy on this batch. On other batches it scores far worse where most
    labels of this one occur once: their share is that of the labels it has not seen (Good 1953, eq. 9). Computed where
    the targets are, without waiting.
    """
    labels = targets.detach().reshape(-1)
    counts = labels != ignore_index
    weight = counts.to(torch.float32)
    counted = torch.zeros(num_classes, device=labels.device, dtype=torch.float32)
    counted.index_add_(0, labels.clamp(0, num_classes - 1), weight)
    frequency = counted / weight.sum()
    entropy = -torch.xlogy(frequency, frequency).sum()
    few = (2 * (counted == 1).sum() > weight.sum()) & (num_classes > weight.sum())
    return entropy.masked_fill(few, math.nan)


def constant_binary_cross_entropy(targets: Float[Tensor, ...]) -> Tensor:
    """Binary entropy in nats of the mean target, 0-d: the lowest binary cross-entropy of one constant for all."""
    mean = targets.detach().float().mean()
    return -torch.xlogy(mean, mean) - torch.xlogy(1 - mean, 1 - mean)


def constant_mse(targets: Float[Tensor, "batch ..."]) -> Tensor:
    """Mean over outputs of the targets' variance over the batch, 0-d: the lowest squared error of a constant."""
    return targets.detach().float().var(dim=0, correction=0).mean()


def constant_distance(targets: Float[Tensor, "batch ..."], scale: float = 0.0) -> Tensor:
    """Mean over outputs of the lowest absolute error of a constant, 0-d; with ``scale`` of Huber's loss.

    Huber's loss is ½ d² up to ``scale`` and scale · (|d| − ½ scale) beyond (``smooth_l1_loss`` is that over its beta).
    Its best constant lies between median and mean: the best of 17 places there is taken, so that the value may be
    above the lowest by a little; the median itself is best for absolute errors.
    """
    rows = targets.detach().float().flatten(1) if targets.dim() > 1 else targets.detach().float()[:, None]
    middle = rows.median(0).values
    if not scale > 0:
        return (rows - middle).abs().mean()
    places = torch.linspace(0, 1, 17, device=rows.device)
    best = None
    for place in places:
        distance = (rows - middle.lerp(rows.mean(0), place)).abs()
        loss = torch.where(distance < scale, 0.5 * distance.square(), scale * (distance - 0.5 * scale)).mean(0)
        best = loss if best is None else torch.minimum(best, loss)
    assert best is not None
    return best.mean()
