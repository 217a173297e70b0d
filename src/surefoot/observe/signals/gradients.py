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
    """One value a layer (NaN for layers of other optimisers), and the norm over all."""

    gradient_rms: np.ndarray
    gradient_share: np.ndarray
    gradient_nonfinite: np.ndarray
    gradient_norm: float = float("nan")


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
    with np.errstate(invalid="ignore"):
        reading = GradientReading(np.full(count, np.nan), got / held, np.full(count, np.nan))
    numel = [g.numel() for g in gradients]
    exact = on_cpu(gradients)

    def fill(values: list[np.ndarray]) -> None:
        lengths = exact_norms(np.array(values[: len(places)], dtype=np.float64), exact)
        if scale is not None:
            lengths /= float(values[-1])
        squares, sizes, broken = np.zeros(count), np.zeros(count), np.zeros(count)
        for place, size, length in zip(places, numel, lengths, strict=True):
            sizes[place] += size
            if np.isfinite(length):
                squares[place] += length * length
            else:
                broken[place] += 1
                squares[place] = np.nan if np.isnan(length) else np.inf
        with np.errstate(invalid="ignore", divide="ignore"):
            reading.gradient_rms[:] = np.where(sizes > 0, np.sqrt(squares / sizes), np.nan)
            reading.gradient_nonfinite[:] = broken / held
        reading.gradient_norm = float(np.sqrt(np.square(lengths).sum()))

    later.ask([*fused_norms(gradients), *([] if scale is None else [scale])], fill)
    return reading


def on_cpu(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """The tensors that can be measured again without waiting; None in the place of others, so as not to keep them."""
    return [t if t.is_cpu else None for t in tensors]
