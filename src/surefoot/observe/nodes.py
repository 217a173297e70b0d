"""Nodes of an autograd graph, and the tensors that they saved."""

from __future__ import annotations

from typing import Any

from torch import Tensor

Node = Any  # torch.autograd.graph.Node; its saved tensors are attributes that no type stub knows

ACCUMULATE = "torch::autograd::AccumulateGrad"
CAST = "ToCopyBackward0"

# Ops between a parameter and the op that uses it, e.g. the transpose of a weight or its cast under autocast.
WEIGHT_PLUMBING = frozenset(
    [
        "TBackward0",
        "PermuteBackward0",
        "TransposeBackward0",
        "ViewBackward0",
        "ReshapeAliasBackward0",
        "ToCopyBackward0",
        "UnsqueezeBackward0",
        "ExpandBackward0",
        "SelectBackward0",
        "SliceBackward0",
        "SplitBackward0",
        "UnsafeViewBackward0",
    ]
)


def saved(node: Node, *names: str) -> Tensor | None:
    """The first of the saved tensors that can be read, detached; None where it was freed or changed in place."""
    for name in names:
        try:
            tensor = getattr(node, f"_saved_{name}")
        except (AttributeError, RuntimeError):
            continue
        if isinstance(tensor, Tensor) and has_memory(tensor):
            return tensor.detach()
    return None


def has_memory(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor are there to be read.

    FSDP frees the memory of the weights that it gathered as soon as a layer's forward is over; the graph still holds
    the tensors, and to read one would end the process.
    """
    try:
        present = tensor.untyped_storage().nbytes()
    except (RuntimeError, NotImplementedError):  # sparse and wrapped tensors look after their memory themselves
        return True
    if tensor.numel() == 0:
        return True
    last = tensor.storage_offset() + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size() <= present
