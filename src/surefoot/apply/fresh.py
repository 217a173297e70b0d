"""Whether a model is as it was drawn, or has been trained: what an initialisation may not be put over.

Nothing in PyTorch says so. Freshly drawn entries of a weight are alike, so that the sizes of its rows and of its
columns scatter as chance has it; training makes some units and some inputs matter more than others. The comparison is
with the weight's own entries, whatever they were drawn from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surefoot.init.critical import dense_layers
from surefoot.observe.discover import census

_LEAST = 8  # rows or columns that scatter is judged by
_SIGMAS = 8.0
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@torch.no_grad()
def sign_of_training(model: nn.Module) -> str | None:
    """What speaks for a model having been trained, in words; None if nothing does."""
    for name, module in model.named_modules():
        if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters(recurse=False)):
            return f"{name} is not there before its first forward"
        if not isinstance(module, _NORMS):
            continue
        seen = getattr(module, "num_batches_tracked", None)
        if isinstance(seen, Tensor) and int(seen):
            return f"{name} has seen {int(seen)} batches"
        if any(p.numel() > 1 and bool((p != p.flatten()[0]).any()) for p in module.parameters(recurse=False)):
            return f"{name} has learnt scales"
    for name, module, _ in dense_layers(model):
        if not module.weight.requires_grad:
            return f"{name} is frozen, as in fine-tuning"
        weight = module.weight.detach().double().flatten(min(2, module.weight.dim() - 1))
        for dim, what in ((0, "rows"), (1, "columns")):
            if uneven(weight, dim):
                return f"the {what} of {name} differ more in size than if they were drawn alike"
    return None


def uneven(weight: Tensor, dim: int) -> bool:
    """Whether the mean squares along ``dim`` scatter more than those of independent equal draws can.

    Their variance would be (m₄ − m₂²)/n for n entries each, with m₂ and m₄ the moments of all entries; that of a
    sample of k such numbers is off by √(2/k) of itself. Eight times that is no chance.
    """
    count = weight.shape[dim]
    each = weight.numel() // max(1, count)
    if count < _LEAST or each < _LEAST:
        return False
    squares = weight.square()
    m2, m4 = float(squares.mean()), float(squares.square().mean())
    expected = (m4 - m2**2) / each
    if expected <= 1e-12 * m2**2:  # constant entries
        return False
    found = float(squares.transpose(0, dim).reshape(count, -1).mean(dim=1).var())
    return found > expected * (1 + _SIGMAS * math.sqrt(2 / count))


def copies_of(model: nn.Module) -> list[nn.Module]:
    """Other models that hold the same numbers: targets and averages that the script copied from this one."""
    mine = list(model.state_dict().values())
    parts = {id(m) for m in model.modules()}
    found = []
    for other in census().modules:
        if type(other) is type(model) and id(other) not in parts:
            theirs = list(other.state_dict().values())
            if len(mine) == len(theirs) and all(
                a is not b and a.shape == b.shape and a.device == b.device and torch.equal(a, b)
                for a, b in zip(mine, theirs, strict=True)
            ):
                found.append(other)
    return found
