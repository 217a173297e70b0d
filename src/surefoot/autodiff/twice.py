"""Second derivatives of functions whose backward pass is written by hand and works in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def differentiable_backward(
    function: Callable[..., Tensor], gradient: Tensor, *arguments: Any
) -> tuple[Tensor | None, ...]:
    """What a backward returns where it will be differentiated itself: autograd's own, of the same function in plain
    operations. One entry an argument, None for those that want no gradient.

    Parameters
    ----------
    function : of the arguments, made of operations that autograd knows
    gradient : by the function's value
    arguments : tensors, as saved for the backward, and others
    """
    wanted = [i for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad]
    leaves = [arguments[i] for i in wanted]
    found = torch.autograd.grad(function(*arguments), leaves, gradient, create_graph=True, allow_unused=True)
    by_place = dict(zip(wanted, found, strict=True))
    return tuple(by_place.get(i) for i in range(len(arguments)))
