"""The blocks that a model repeats.

They are the outermost modules of a class of the script's own that it holds twice or more; else its Linear, Conv and
recurrent layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

CONVOLUTION = nn.modules.conv._ConvNd


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model, in the order in which it holds them."""
    own = Counter(type(m) for m in model.modules() if not type(m).__module__.startswith("torch."))
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():  # the outer ones first
        weighted = any(p.dim() > 1 for p in module.parameters())
        block = own[type(module)] > 1 or isinstance(module, nn.Linear | CONVOLUTION | nn.RNNBase)
        if module is not model and id(module) not in inside and weighted and block:
            found.append(module)
            inside.update(id(m) for m in module.modules())
    return found


def changed(output: Any, change: Callable[[Tensor], Tensor | None]) -> Any:
    """What a block gives on, with its signal changed: the output itself, or the first of a tuple, as recurrent layers
    have their states behind it. None (a forward hook's word for "as it is") where it is neither, or stays."""
    alone = isinstance(output, Tensor)
    first = output if alone else output[0] if type(output) is tuple and output else None
    new = change(first) if isinstance(first, Tensor) else None
    return new if new is None or alone else (new, *output[1:])
