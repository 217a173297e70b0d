"""Activations by name, module or function, as functions of float64 tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = str | nn.Module | Callable[[Tensor], Tensor]
"""A name of :data:`NAMED`, a module such as ``nn.GELU()``, or a function that acts on each entry."""

NAMED: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hardtanh": F.hardtanh,
    "sin": torch.sin,
    "erf": torch.erf,
}


def as_function(act: Activation) -> Callable[[Tensor], Tensor]:
    """The activation as a function of float64 tensors; the caller's own module is left as it is, and its hooks silent.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        If it can't be called.
    """
    if isinstance(act, str):
        if act not in NAMED:
            raise ValueError(f"act: got {act!r}; use one of {', '.join(NAMED)}, or a function of a tensor")
        return NAMED[act]
    if isinstance(act, nn.Module):
        module = copy.deepcopy(act).double().cpu().eval()
        for part in module.modules():
            part._forward_hooks.clear()
            part._forward_pre_hooks.clear()
        return module
    if not callable(act):
        raise TypeError(f"act: got {type(act).__name__}; use a name, a module, or a function of a tensor")
    return act


def name_of(act: Activation) -> str:
    """What to call it in messages."""
    if isinstance(act, str):
        return act
    return type(act).__name__ if isinstance(act, nn.Module) else getattr(act, "__name__", repr(act))
