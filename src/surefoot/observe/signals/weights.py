"""Weights before and after one optimiser step, by layer: their size, the update, and the decrease it promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.norms import norms
from surefoot.observe.discover import Models
from surefoot.observe.signals.gradients import local

# Of a larger tensor every k-th element is kept, so that a look copies little. A root mean square over 2¹⁵ elements is
# known to within 1 % even where the elements are as uneven as a squared Gaussian's.
SAMPLE = 1 << 15


def _sample(tensor: Tensor) -> Tensor:
    flat = local(tensor).reshape(-1)
    stride = flat.numel() // SAMPLE
    return flat[::stride] if stride > 1 else flat


@dataclass(slots=True)
class WeightReading:
    """One value a layer (NaN for layers of other optimisers), and values over all parameters."""

    weight_rms: np.ndarray
    update_rms: np.ndarray
    weight_norm: float
    update_norm: float
    predicted_decrease: float


class Snapshot:
    """A sample of weights and gradients before a step (and before clipping), to be compared with what it made of them.

    ``scale`` is what the gradients are multiplied by.
    """

    def __init__(self, parameters: Sequence[Tensor], models: Models, scale: float = 1.0) -> None:
        self._models = models
        self._scale = scale
        self._parameters = [p for p in parameters if models.place(p) is not None]
        self._weights = [_sample(p).clone() for p in self._parameters]
        self._gradients = [
            None if p.grad is None or p.grad.is_sparse else _sample(p.grad).clone() for p in self._parameters
        ]

    def compare(self) -> WeightReading:
        """What the step changed."""
        now = [_sample(p) for p in self._parameters]
        updates = list(torch._foreach_sub(now, self._weights)) if now else []
        weight_lengths, update_lengths = norms(self._weights), norms(updates)
        count = len(self._models.layers)
        weight, update, sizes = (np.zeros(count) for _ in range(3))
        weight_square = update_square = promised = 0.0
        for i, parameter in enumerate(self._parameters):
            place = self._models.place(parameter)
            sampled = updates[i].numel()
            if place is None or sampled == 0:
                continue
            whole = local(parameter).numel()
            w, u = weight_lengths[i] ** 2 * whole / sampled, update_lengths[i] ** 2 * whole / sampled
            weight[place] += w
            update[place] += u
            sizes[place] += whole
            weight_square += w
            update_square += u
            gradient = self._gradients[i]
            if gradient is not None and gradient.dtype == updates[i].dtype:
                promised -= float(torch.dot(gradient, updates[i])) * whole / sampled / self._scale
        with np.errstate(invalid="ignore", divide="ignore"):
            return WeightReading(
                np.where(sizes > 0, np.sqrt(weight / sizes), np.nan),
                np.where(sizes > 0, np.sqrt(update / sizes), np.nan),
                weight_square**0.5,
                update_square**0.5,
                promised,
            )
