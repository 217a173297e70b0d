"""Activations by layer: moments, units that stay dead over several looks, saturation."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.activations import active_units, moments, saturated_share

MEMORY = 4  # looks over which a unit must stay silent to count as dead: a small batch alone proves little
MAX_ELEMENTS = 1 << 20  # of a larger output the first rows are read


def _rows(output: Tensor) -> Tensor:
    if output.numel() > MAX_ELEMENTS and output.dim() > 0:
        return output[: max(1, MAX_ELEMENTS * output.shape[0] // output.numel())]
    return output


def saturation(output: Tensor, kind: str) -> float:
    """The share of flat outputs of one bounded activation."""
    return float(saturated_share(_rows(output), kind))


class ActivationReader:
    """Collects one look's activations, whichever means brought them; remembers which units were ever active."""

    def __init__(self) -> None:
        self._alive: dict[str, deque[np.ndarray]] = {}
        self._now: dict[str, dict[str, list[float]]] = {}
        self._masks: dict[str, np.ndarray] = {}
        self._called: set[str] = set()
        self._asked_called = False

    def begin(self, knows_called: bool) -> None:
        """A new look; ``knows_called`` if it sees every module that runs."""
        self._now, self._masks, self._called, self._asked_called = {}, {}, set(), knows_called

    def output(self, layer: str, output: Tensor) -> None:
        """The output of a layer itself."""
        self._called.add(layer)
        if output.is_floating_point() and output.numel():
            mean, rms = moments(_rows(output))
            self._add(layer, activation_mean=float(mean), activation_rms=float(rms))

    def rectified(self, layer: str, output: Tensor, unit_dim: int) -> None:
        """The output of a rectified activation that follows ``layer``."""
        output = _rows(output)
        if output.numel():
            # behind a channels-first layer units are dimension 1; flattened, they are the last
            mask = active_units(output, unit_dim if output.dim() > 2 else -1).cpu().numpy()
            known = self._masks.get(layer)
            self._masks[layer] = mask if known is None or known.shape != mask.shape else known | mask

    def saturated(self, layer: str, share: float) -> None:
        """The share of flat outputs of a bounded activation that follows ``layer``."""
        self._add(layer, saturated_share=share)

    def _add(self, layer: str, **values: float) -> None:
        entry = self._now.setdefault(layer, {})
        for signal, value in values.items():
            entry.setdefault(signal, []).append(value)

    def finish(self, layers: list[str]) -> dict[str, np.ndarray]:
        """One array a signal over ``layers``, NaN where nothing was seen."""
        names = ("activation_mean", "activation_rms", "saturated_share", "dead_share", "called")
        values = {name: np.full(len(layers), np.nan) for name in names}
        for place, layer in enumerate(layers):
            for signal, seen in self._now.get(layer, {}).items():
                values[signal][place] = float(np.mean(seen))
            mask = self._masks.get(layer)
            if mask is not None:
                past = self._alive.setdefault(layer, deque(maxlen=MEMORY))
                if past and past[0].shape != mask.shape:
                    past.clear()
                past.append(mask)
                values["dead_share"][place] = float(1 - np.logical_or.reduce(list(past)).mean())
            if self._asked_called:
                values["called"][place] = float(layer in self._called)
        self._now, self._masks = {}, {}
        return values

    @property
    def with_activation(self) -> set[str]:
        """Layers whose activation was read in this look."""
        return set(self._masks) | {layer for layer, seen in self._now.items() if "saturated_share" in seen}

    @property
    def empty(self) -> bool:
        """Whether this look has seen nothing so far."""
        return not self._now and not self._masks and not self._called


def first_tensor(output: object) -> Tensor | None:
    """The first tensor of a module's output (a tuple's first element: an LSTM's output sequence)."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, (tuple, list)):
        return next((t for t in map(first_tensor, output) if t is not None), None)
    if isinstance(output, dict):
        return first_tensor(list(output.values()))
    return None
