"""Activations by layer: moments, units that stay dead over several looks, saturation."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.activations import active_share, active_units, moments, saturated_share
from surefoot.analysis.precision import FLOAT16_MAX
from surefoot.observe.later import Later
from surefoot.observe.replay import tensors_of

MEMORY = 4  # looks over which a unit must stay silent to count as dead: a small batch alone proves little
MAX_ELEMENTS = 1 << 20  # of a larger output the first rows are read


def _rows(output: Tensor) -> Tensor:
    if output.numel() > MAX_ELEMENTS and output.dim() > 0:
        return output[: max(1, MAX_ELEMENTS * output.shape[0] // output.numel())]
    return output


def saturation(output: Tensor, kind: str) -> Tensor:
    """The share of flat outputs of one bounded activation, 0-d."""
    return saturated_share(_rows(output), kind)


class ActivationReader:
    """Collects one look's activations, whichever means brought them; remembers which units were ever active."""

    def __init__(self) -> None:
        self._alive: dict[str, deque[np.ndarray]] = {}
        self._numbers: dict[tuple[str, str], list[Tensor]] = {}  # by layer and signal
        self._masks: dict[str, Tensor] = {}
        self._called: set[str] = set()
        self._ran: set[str] = set()  # without a graph
        self._knows_called = False

    def begin(self, knows_called: bool) -> None:
        """A new look; ``knows_called`` if it sees every module that runs."""
        self._numbers, self._masks, self._knows_called = {}, {}, knows_called
        self._called, self._ran = set(), set()

    def ran(self, layer: str) -> None:
        """A layer has run without a graph, in the middle of a forward that trains."""
        self._ran.add(layer)

    def output(self, layer: str, output: Tensor) -> None:
        """The output of a layer itself."""
        self._called.add(layer)
        if output.is_floating_point() and output.numel():
            mean, rms = moments(_rows(output))
            self._add(layer, "activation_mean", mean)
            self._add(layer, "activation_rms", rms)
            if output.dtype == torch.float16:  # the other types can hold what float32 can
                self._add(layer, "activation_peak", _rows(output).abs().amax().float() / FLOAT16_MAX)

    def rectified(self, layer: str, output: Tensor, unit_dim: int) -> None:
        """The output of a rectified activation that follows ``layer``."""
        output = _rows(output)
        if output.numel():
            # behind a channels-first layer units are dimension 1; flattened, they are the last
            mask = active_units(output, unit_dim if output.dim() > 2 else -1)
            self._add(layer, "active_share", active_share(output))
            known = self._masks.get(layer)
            self._masks[layer] = mask if known is None or known.shape != mask.shape else known | mask

    def saturated(self, layer: str, share: Tensor) -> None:
        """The share of flat outputs of a bounded activation that follows ``layer``."""
        self._add(layer, "saturated_share", share)

    def closed(self, layer: str, share: Tensor) -> None:
        """The same of an activation that ends the model or is multiplied with something: to be flat may be its job."""
        self._add(layer, "closed_share", share)

    def _add(self, layer: str, signal: str, value: Tensor) -> None:
        self._numbers.setdefault((layer, signal), []).append(value)

    def finish(self, layers: list[str], later: Later) -> dict[str, np.ndarray]:
        """One array a signal over ``layers``, filled in when ``later`` has the numbers; NaN where nothing was seen."""
        names = (
            "activation_mean",
            "activation_rms",
            "saturated_share",
            "dead_share",
            "called",
            "activation_peak",
            "active_share",
            "closed_share",
        )
        values = {name: np.full(len(layers), np.nan) for name in names}
        place = {layer: i for i, layer in enumerate(layers)}
        if self._knows_called:
            values["called"][:] = [float(layer in self._called or layer in self._ran) for layer in layers]
        numbers = [(key, value) for key, seen in self._numbers.items() for value in seen if key[0] in place]
        masks = [(layer, mask) for layer, mask in self._masks.items() if layer in place]

        def fill(found: list[np.ndarray]) -> None:
            seen: dict[tuple[str, str], list[float]] = {}
            for (key, _), value in zip(numbers, found, strict=False):
                seen.setdefault(key, []).append(float(value))
            for (layer, signal), several in seen.items():
                values[signal][place[layer]] = float(np.mean(several))
            for (layer, _), mask in zip(masks, found[len(numbers) :], strict=True):
                past = self._alive.setdefault(layer, deque(maxlen=MEMORY))
                if past and past[0].shape != mask.shape:
                    past.clear()
                past.append(mask != 0)
                values["dead_share"][place[layer]] = float(1 - np.logical_or.reduce(list(past)).mean())

        later.ask([value for _, value in numbers] + [mask for _, mask in masks], fill)
        self.begin(self._knows_called)
        return values

    @property
    def with_activation(self) -> set[str]:
        """Layers whose activation was read in this look."""
        return set(self._masks) | {layer for layer, signal in self._numbers if signal == "saturated_share"}

    @property
    def with_output(self) -> set[str]:
        """Layers whose own output was read in this look."""
        return set(self._called)

    @property
    def empty(self) -> bool:
        """Whether this look has seen nothing so far."""
        return not self._numbers and not self._masks and not self._called


def first_tensor(output: object) -> Tensor | None:
    """The first tensor of a module's output (a tuple's first element: an LSTM's output sequence)."""
    return next(tensors_of(output), None)
