"""Weights before and after one optimiser step, by layer: their size, the update, and the decrease it promises.

Also how far the gradient only rescales the weights, which updates the weights' own precision swallowed, and which
weights are too large for any gradient: beyond where an estimator that stands for a step has a slope.
"""

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
FEWEST = 8  # weights with a gradient: all of them among the smallest tenth by chance is one case in 10⁸


def _sample(tensor: Tensor) -> Tensor:
    flat = local(tensor).reshape(-1)
    stride = flat.numel() // SAMPLE
    return flat[::stride] if stride > 1 else flat


@dataclass(slots=True)
class WeightReading:
    """One value a layer (NaN for layers of other optimisers), and values over all parameters."""

    weight_rms: np.ndarray
    update_rms: np.ndarray
    swallowed_share: np.ndarray
    beyond_reach_share: np.ndarray
    weight_norm: float = float("nan")
    update_norm: float = float("nan")
    predicted_decrease: float = float("nan")
    nlm_alignment: float = float("nan")

    @property
    def update_ratio(self) -> np.ndarray:
        """What share of their size the weights of each layer moved by."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.weight_rms > 0, self.update_rms / self.weight_rms, np.nan)


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

    def join(self, other: Snapshot) -> None:
        """Take in what was kept of other parameters."""
        for name in ("_parameters", "_places", "_weights", "_gradients"):
            getattr(self, name).extend(getattr(other, name))

    def compare(self, later: Later) -> WeightReading:
        """What the step changed; the reading is filled in when ``later`` has the numbers."""
        layers, places = self._layers, np.array(self._places, dtype=int)
        reading = WeightReading(*np.full((4, layers), np.nan))
        now = [_sample(p) for p in self._parameters]
        updates = list(torch._foreach_sub(now, self._weights)) if now else []
        whole = [local(p).numel() for p in self._parameters]
        factors = np.array([n / u.numel() for n, u in zip(whole, updates, strict=True)])
        known = [i for i, g in enumerate(self._gradients) if g is not None and g.dtype == updates[i].dtype]
        gradients = [g for g in (self._gradients[i] for i in known) if g is not None]
        half = [i for i in known if updates[i].dtype in _HALF]
        matrices = [i for i in known if self._parameters[i].dim() > 1]
        asked: dict[str, list[Tensor]] = {
            "weights": fused_norms(self._weights),
            "updates": fused_norms(updates),
            "gradients": fused_norms(gradients),
            "promised": [_dot(g, updates[i]) for i, g in zip(known, gradients, strict=True)],
            "radial": [_dot(g, self._weights[i]) for i, g in zip(known, gradients, strict=True)],
            "moving": [(g != 0).sum() for i in half if (g := self._gradients[i]) is not None],
            "still": [((self._gradients[i] != 0) & (updates[i] == 0)).sum() for i in half],
            "beyond": [_beyond_reach(self._weights[i], g) for i in matrices if (g := self._gradients[i]) is not None],
            "scale": [] if self._scale is None else [self._scale],
        }
        weights_exact, updates_exact = on_cpu(self._weights), on_cpu(updates)

        def fill(values: list[np.ndarray]) -> None:
            numbers = iter(np.array(values, dtype=np.float64))
            got = {name: np.array([next(numbers) for _ in tensors]) for name, tensors in asked.items()}
            w = np.square(exact_norms(got["weights"], weights_exact)) * factors
            u = np.square(exact_norms(got["updates"], updates_exact)) * factors
            weight, update, sizes = (_by_layer(layers, places, v) for v in (w, u, np.array(whole)))
            with np.errstate(invalid="ignore", divide="ignore"):
                reading.weight_rms[:] = np.where(sizes > 0, np.sqrt(weight / sizes), np.nan)
                reading.update_rms[:] = np.where(sizes > 0, np.sqrt(update / sizes), np.nan)
                moving, still = (
                    _by_layer(layers, places[half], got[name] * factors[half]) for name in ("moving", "still")
                )
                reading.swallowed_share[:] = still / moving
                own = np.array(whole)[matrices]
                beyond, held = (_by_layer(layers, places[matrices], v) for v in (got["beyond"] * own, own))
                reading.beyond_reach_share[:] = beyond / held
                g = np.square(got["gradients"]) * factors[known]
                reading.nlm_alignment = float(
                    -(got["radial"] * factors[known]).sum() / np.sqrt(w[known].sum() * g.sum())
                )
            reading.weight_norm, reading.update_norm = float(w.sum()) ** 0.5, float(u.sum()) ** 0.5
            promised = -float((got["promised"] * factors[known]).sum())
            reading.predicted_decrease = promised / (float(got["scale"][0]) if self._scale is not None else 1.0)

        later.ask([tensor for tensors in asked.values() for tensor in tensors], fill)
        return reading


_HALF = (torch.float16, torch.bfloat16)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar product; half types in float32, for a float16 sum is lost below 6e-8 and above 65504."""
    return torch.dot(a.float(), b.float()) if a.dtype in _HALF else torch.dot(a, b)


def _beyond_reach(weights: Tensor, gradients: Tensor) -> Tensor:
    """Share of the weights that are larger than each one with a gradient; NaN where these are too few to tell by."""
    sizes, live = weights.abs(), gradients != 0
    reach = torch.where(live, sizes, -1.0).amax()
    return torch.where(live.sum() >= FEWEST, (sizes > reach).double().mean(), torch.nan)


def _by_layer(layers: int, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    total = np.zeros(layers)
    np.add.at(total, places, values)
    return total
