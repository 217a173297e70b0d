"""Whether somebody would notice a gradient pass of ours through the script's own graph."""

from __future__ import annotations

import gc
from typing import Any

from torch import Tensor


def listened_to(tensor: Tensor) -> bool:
    """Whether a tensor keeps its gradient, or has a hook on it that is not ours (ours know when it is us)."""
    hooks: dict[int, Any] = tensor._backward_hooks or {}
    foreign = (not str(getattr(hook, "__module__", "")).startswith("surefoot.") for hook in hooks.values())
    return (not tensor.is_leaf and tensor.retains_grad) or any(foreign)


def somebody_listens() -> bool:
    """Some live tensor inside a graph has a hook on its gradient, or keeps it."""
    kinds: dict[type, bool] = {}
    for obj in gc.get_objects():
        kind = type(obj)
        is_tensor = kinds.get(kind)
        if is_tensor is None:
            is_tensor = kinds[kind] = kind is Tensor  # a subclass may answer with something else
        if is_tensor and obj.grad_fn is not None and listened_to(obj):
            return True
    return False
