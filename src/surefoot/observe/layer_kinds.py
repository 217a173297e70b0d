"""What a module is to a look at a model's start: a sum of products, an activation of each entry, a normalisation."""

from __future__ import annotations

import math
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from surefoot.init.activations import as_function
from surefoot.init.critical import Dense

_FORWARDS = {kind.forward for kind in get_args(Dense)}
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TRIED = torch.tensor([-3.0, -1.2, -0.4, 0.0, 0.3, 0.9, 2.5], dtype=torch.float64)


def values_of(module: nn.Module) -> Tensor | None:
    """A few values of a module that acts on each entry alone; None if it doesn't, or is the identity or constant."""
    if sum(p.numel() for p in module.parameters()) > 1:
        return None
    try:
        function = as_function(module)
        with torch.no_grad():
            values = function(_TRIED)
            turned, fewer = function(_TRIED.flip(0)), function(_TRIED[:3])
    except Exception:  # the user's own code, on numbers it was not written for
        return None
    if values.shape != _TRIED.shape or not bool(torch.isfinite(values).all()):
        return None
    alone = torch.equal(turned.flip(0), values) and torch.equal(fewer, values[:3])
    dull = torch.equal(values, _TRIED) or bool((values == values[0]).all())
    return values if alone and not dull else None


def same_values(one: nn.Module, other: nn.Module) -> bool:
    """Whether two of :func:`values_of`'s modules are one function."""
    first, second = values_of(one), values_of(other)
    return first is not None and second is not None and torch.equal(first, second)


class Matrix(NamedTuple):
    """A layer that sums products: its weights, how many each output sums, how many outputs.

    ``fan_in`` is None where the weights are not used as they are, as in a convolution that standardises them.
    """

    weight: Tensor
    fan_in: int | None
    width: int


def matrix_of(module: nn.Module) -> Matrix | None:
    """What a Linear or (transposed) convolution layer sums; None for any other module."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() < 2 or not weight.numel():
        return None
    if isinstance(module, Dense):
        plain = type(module).forward in _FORWARDS
        return Matrix(weight, weight[0].numel() if plain else None, weight.shape[0])
    if isinstance(module, _TRANSPOSED):  # every place of the output is reached by one in ∏ stride of the kernel
        taps = weight[0, 0].numel() / math.prod(module.stride)
        return Matrix(weight, max(1, round(weight.shape[0] / module.groups * taps)), module.out_channels)
    if type(module).__name__ == "Conv1D" and weight.dim() == 2:  # the linear layer of GPT-2 in Hugging Face's library
        return Matrix(weight, weight.shape[0], weight.shape[1])
    return None


def normalised_variance(module: nn.Module, x: Tensor) -> float:
    """Of a normalisation's input: median over rows, channels or groups of what ε is added to."""
    kind = type(module).__name__.lower()
    if "batch" in kind or "instance" in kind:
        x = x.transpose(0, 1).flatten(1) if "batch" in kind else x.flatten(2).flatten(0, 1)
    elif "group" in kind:
        x = x.reshape(x.shape[0] * int(getattr(module, "num_groups", 1)), -1)
    else:
        shape = getattr(module, "normalized_shape", None)
        x = x.reshape(-1, math.prod(shape) if shape else x.shape[-1])
    mean = 0.0 if "rms" in kind or kind.startswith("t5") else x.mean(dim=1, keepdim=True)
    return float((x - mean).square().mean(dim=1).median())
