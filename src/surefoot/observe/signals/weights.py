"""Weights before and after one optimiser step, by layer: their size, the update, and the decrease it promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.norms import exact_norms, fused_norms
from surefoot.observe.discover import Models
from surefoot.observe.later import Later
from surefoot.observe.signals.gradients import local, on_cpu

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
    weight_norm: float = float("nan")
    update_norm: float = float("nan")
    predicted_decrease: float = float("nan")


class Snapshot:
    """A sample of weights and gradients before a step (and before clipping), to be compared with what it made of them.

    ``scale`` is what the gradients are multiplied by.
    """

    def __init__(self, parameters: Sequence[Tensor], models: Models, scale: Tensor | None = None) -> None:
        known = [(p, place) for p in parameters if (place := models.place(p)) is not None and p.numel()]
        self._scale = None if scale is None else scale.detach().clone()
        self._parameters = [p for p, _ in known]
        self._places = [place for _, place in known]
        self._layers = len(models.layers)
        self._weights = [_sample(p).clone() for p in self._parameters]
        self._gradients = [
            None if p.grad is None or p.grad.is_sparse else _sample(p.grad).clone() for p in self._parameters
        ]

    def compare(self, later: Later) -> WeightReading:
        """What the step changed; the reading is filled in when ``later`` has the numbers."""
        reading = WeightReading(np.full(self._layers, np.nan), np.full(self._layers, np.nan))
        now = [_sample(p) for p in self._parameters]
        updates = list(torch._foreach_sub(now, self._weights)) if now else []
        pairs = list(zip(self._gradients, updates, strict=True))
        with_promise = [g is not None and g.dtype == u.dtype for g, u in pairs]
        promised = [torch.dot(g, u) for g, u in pairs if g is not None and g.dtype == u.dtype]
        whole = [local(p).numel() for p in self._parameters]
        factors = [n / u.numel() for n, u in zip(whole, updates, strict=True)]
        count = len(updates)
        places, layers = self._places, self._layers
        weights_exact, updates_exact = on_cpu(self._weights), on_cpu(updates)

        def fill(values: list[np.ndarray]) -> None:
            flat = np.array(values, dtype=np.float64)
            w = np.square(exact_norms(flat[:count], weights_exact)) * factors
            u = np.square(exact_norms(flat[count : 2 * count], updates_exact)) * factors
            weight, update, sizes = (np.zeros(layers) for _ in range(3))
            np.add.at(weight, places, w)
            np.add.at(update, places, u)
            np.add.at(sizes, places, whole)
            with np.errstate(invalid="ignore", divide="ignore"):
                reading.weight_rms[:] = np.where(sizes > 0, np.sqrt(weight / sizes), np.nan)
                reading.update_rms[:] = np.where(sizes > 0, np.sqrt(update / sizes), np.nan)
            reading.weight_norm, reading.update_norm = float(w.sum()) ** 0.5, float(u.sum()) ** 0.5
            dots = flat[2 * count : 2 * count + len(promised)]
            total = -float((dots * np.array(factors)[with_promise]).sum()) if len(dots) else 0.0
            reading.predicted_decrease = total / (1.0 if self._scale is None else float(flat[-1]))

        asked = [*fused_norms(self._weights), *fused_norms(updates), *promised]
        later.ask(asked if self._scale is None else [*asked, self._scale], fill)
        return reading
