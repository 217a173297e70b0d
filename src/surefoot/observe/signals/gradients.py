"""Gradients of one optimiser's parameters, before clipping and unscaled, by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.norms import exact_norms, fused_norms
from surefoot.observe.discover import Models
from surefoot.observe.later import Later


@dataclass(slots=True)
class GradientReading:
    """Sums by layer over the parameters that were read, from which the signals are made.

    Attributes
    ----------
    squares, sizes : sum of the squared gradients, and number of elements
    broken : parameters whose gradient is not finite
    got, held : parameters with a gradient, and all
    """

    squares: np.ndarray
    sizes: np.ndarray
    broken: np.ndarray
    got: np.ndarray
    held: np.ndarray

    def join(self, other: GradientReading) -> None:
        """Take in what was read of other parameters."""
        for name in self.__slots__:
            getattr(self, name).__iadd__(getattr(other, name))

    @property
    def gradient_rms(self) -> np.ndarray:
        """Root mean square by layer; NaN where there is no gradient, and for layers of other optimisers."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.sizes > 0, np.sqrt(self.squares / self.sizes), np.nan)

    @property
    def gradient_share(self) -> np.ndarray:
        """Share of the parameters that got a gradient, by layer."""
        with np.errstate(invalid="ignore"):
            return self.got / self.held

    @property
    def gradient_nonfinite(self) -> np.ndarray:
        """Share of the parameters whose gradient is not finite, by layer."""
        with np.errstate(invalid="ignore"):
            return self.broken / self.held

    @property
    def gradient_norm(self) -> float:
        """L2 norm over all."""
        return float(np.sqrt(self.squares.sum()))


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


def read_gradients(
    parameters: Sequence[Tensor], models: Models, later: Later, scale: Tensor | None = None
) -> GradientReading:
    """Read ``p.grad`` of all ``parameters``; ``scale`` is what the loss was multiplied by.

    The reading is filled in when ``later`` has the numbers.
    """
    count = len(models.layers)
    got, held = np.zeros(count), np.zeros(count)
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
    reading = GradientReading(np.zeros(count), np.zeros(count), np.zeros(count), got, held)
    numel = [g.numel() for g in gradients]
    exact = on_cpu(gradients)

    def fill(values: list[np.ndarray]) -> None:
        lengths = exact_norms(np.array(values[: len(places)], dtype=np.float64), exact)
        if scale is not None:
            lengths /= float(values[-1])
        np.add.at(reading.sizes, places, numel)
        np.add.at(reading.squares, places, np.square(lengths))
        np.add.at(reading.broken, places, ~np.isfinite(lengths))

    later.ask([*fused_norms(gradients), *([] if scale is None else [scale])], fill)
    return reading


def on_cpu(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """The tensors that can be measured again without waiting; None in the place of others, so as not to keep them."""
    return [t if t.is_cpu else None for t in tensors]
