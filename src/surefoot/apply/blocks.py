"""The blocks that a model repeats.

They are the outermost modules of a class of the script's own that it holds twice or more; else its Linear and Conv
layers.
"""

from __future__ import annotations

from collections import Counter

from torch import nn

CONVOLUTION = nn.modules.conv._ConvNd


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model, in the order in which it holds them."""
    own = Counter(type(m) for m in model.modules() if not type(m).__module__.startswith("torch."))
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():  # the outer ones first
        weighted = any(p.dim() > 1 for p in module.parameters())
        block = own[type(module)] > 1 or isinstance(module, nn.Linear | CONVOLUTION)
        if module is not model and id(module) not in inside and weighted and block:
            found.append(module)
            inside.update(id(m) for m in module.modules())
    return found
