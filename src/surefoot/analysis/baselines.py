"""The loss of the best constant prediction: what a model that learnt nothing from its inputs would get."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def constant_cross_entropy(targets: Int[Tensor, ...], num_classes: int, ignore_index: int = -100) -> float:
    """Entropy in nats of the label frequencies in a batch; NaN where no label counts.

    No constant prediction has a lower cross-entropy on this batch.
    """
    labels = targets.detach().reshape(-1)
    labels = labels[labels != ignore_index]
    if labels.numel() == 0:
        return float("nan")
    frequency = torch.bincount(labels, minlength=num_classes).double() / labels.numel()
    return float(-torch.xlogy(frequency, frequency).sum())


def constant_binary_cross_entropy(targets: Float[Tensor, ...]) -> float:
    """Binary entropy in nats of the mean target: the lowest binary cross-entropy of one constant for all outputs."""
    mean = targets.detach().double().mean()
    return float(-torch.xlogy(mean, mean) - torch.xlogy(1 - mean, 1 - mean))


def constant_mse(targets: Float[Tensor, "batch ..."]) -> float:
    """Mean over outputs of the variance of the targets over the batch: the lowest squared error of a constant."""
    return float(targets.detach().double().var(dim=0, correction=0).mean())
