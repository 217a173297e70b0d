"""Gradients of one optimiser's parameters, before clipping and unscaled, by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.norms import norms
from surefoot.observe.discover import Models


@dataclass(slots=True)
class GradientReading:
    """One value a layer (NaN for layers of other optimisers), and the norm over all."""

    gradient_rms: np.ndarray
    gradient_share: np.ndarray
    gradient_nonfinite: np.ndarray
    gradient_norm: float


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """All parameters of an optimiser that take a gradient."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def local(tensor: Tensor) -> Tensor:
    """The dense numbers that this process holds of a tensor: a shard's own part, a sparse gradient's values.

    Issues no collective.
    """
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local is not None else tensor


def read_gradients(parameters: Sequence[Tensor], models: Models, scale: float = 1.0) -> GradientReading:
    """Read ``p.grad`` of all ``parameters``; ``scale`` is what the loss was multiplied by."""
    count = len(models.layers)
    squares, sizes, got, held, broken = (np.zeros(count) for _ in range(5))
    places: list[int] = []
    gradients: list[Tensor] = []
    for parameter in parameters:
        place = models.place(parameter)
        if place is None:
            continue
        held[place] += 1
        if parameter.grad is not None:
            got[place] += 1
            places.append(place)
            gradients.append(local(parameter.grad))
    lengths = norms(gradients) / scale
    for place, gradient, length in zip(places, gradients, lengths, strict=True):
        sizes[place] += gradient.numel()
        if np.isfinite(length):
            squares[place] += length * length
        else:
            broken[place] += 1
            squares[place] = np.nan if np.isnan(length) else np.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        rms = np.where(sizes > 0, np.sqrt(squares / sizes), np.nan)
        return GradientReading(rms, got / held, broken / held, float(np.sqrt(np.square(lengths).sum())))
