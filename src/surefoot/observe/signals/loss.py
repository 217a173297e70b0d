"""The loss as the script's backward gets it, and what a constant prediction would get on the same batch."""

from __future__ import annotations

from torch import Tensor

from surefoot.analysis.baselines import (
    constant_binary_cross_entropy,
    constant_cross_entropy,
    constant_distance,
    constant_mse,
)
from surefoot.observe.loss_site import LossSite
from surefoot.observe.nodes import saved


def loss_tensor(tensors: object) -> Tensor | None:
    """What is differentiated, if it is one number."""
    if type(tensors) is not Tensor and not isinstance(tensors, Tensor):
        if not isinstance(tensors, (tuple, list)) or len(tensors) != 1 or not isinstance(tensors[0], Tensor):
            return None
        tensors = tensors[0]
    return tensors if tensors.numel() == 1 else None


def constant_loss(loss: LossSite) -> Tensor | None:
    """The best constant prediction's loss on the batch in the graph; None where the loss function has none we know."""
    targets = loss.sides[1]
    if targets is None or targets.numel() == 0:
        return None
    mean = _constant_mean(loss, targets)
    if mean is not None and loss.scale is not None:
        return mean * loss.scale
    if mean is None or not loss.summed:
        return mean
    counted = targets != _ignored(loss) if loss.name in ("cross_entropy", "nll_loss") else None
    return mean * (targets.numel() if counted is None else counted.sum())


def _ignored(loss: LossSite) -> int:
    ignore = int(getattr(loss.node, "_saved_ignore_index", -100))
    return ignore - (1 << 64) if ignore >= 1 << 63 else ignore  # autograd stores it as an unsigned 64-bit number


def _constant_mean(loss: LossSite, targets: Tensor) -> Tensor | None:
    """The mean over rows and outputs."""
    if loss.name in ("cross_entropy", "nll_loss"):
        log_probabilities = saved(loss.node, "self")
        if log_probabilities is None:
            return None
        classes = log_probabilities.shape[1] if log_probabilities.dim() > 1 else log_probabilities.shape[0]
        return constant_cross_entropy(targets, classes, _ignored(loss))
    if loss.name.startswith("binary_cross_entropy"):
        return constant_binary_cross_entropy(targets)
    if loss.name == "mse_loss" and targets.dim() and targets.shape[0] > 1:
        return constant_mse(targets)
    if loss.name == "l1_loss" and targets.dim() and targets.shape[0] > 1:
        return constant_distance(targets)
    if loss.name == "smooth_l1_loss" and targets.dim() and targets.shape[0] > 1:
        beta = float(loss.node._saved_beta)
        return constant_distance(targets, beta) / (beta or 1.0)
    if loss.name == "huber_loss" and targets.dim() and targets.shape[0] > 1:
        return constant_distance(targets, float(loss.node._saved_delta))
    return None
