"""What the script asks ``torch.autograd.grad`` for: the gradient of a loss that it trains on, or something else.

The same function serves derivatives of outputs (physics-informed networks), of gradients (curvature, penalties), and
whatever ``torch.func.grad`` is asked for.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack

from surefoot.observe.graph import read_graph
from surefoot.observe.signals.loss import loss_tensor

_TRAIN_NOTHING = ("surefoot.init", "surefoot.apply")  # rooms of ours whose gradients are of activations, of penalties
_functorch = torch._C._functorch
_stack = _functorch.get_interpreter_stack
_GRAD = _functorch.TransformType.Grad
outside_of_transforms = temporarily_pop_interpreter_stack
"""What is computed inside of it is of plain numbers, not a part of what ``torch.func`` differentiates."""


@dataclass(slots=True)
class Asked:
    """The gradient of ``loss``, one number, by ``tensors``; ``in_graph`` if the graph between them can be read."""

    loss: Tensor
    tensors: list[Tensor]
    in_graph: bool


def asked_for(outputs: Any, inputs: Any, create_graph: bool) -> Asked | None:
    """What could be a step of training: the gradient of one number by leaves, that is not differentiated again."""
    loss = loss_tensor(outputs)
    if loss is None or not loss.is_floating_point():
        return None
    tensors = _tensors(inputs)
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        return None
    stack = _stack()
    if not stack:
        if create_graph or not all(t.is_leaf and t.requires_grad for t in tensors):
            return None
        return Asked(loss, tensors, in_graph=True)
    if len(stack) > 1 or stack[0].key() != _GRAD:  # a gradient within another transform: of a sample, of a gradient
        return None
    return Asked(unwrapped(loss), list(map(unwrapped, tensors)), in_graph=False)


def gradients_in(found: Any) -> list[Tensor | None]:
    """The gradients that ``torch.autograd.grad`` gave, in order."""
    return [None if g is None else unwrapped(g) for g in _tensors(found)]


def trains(asked: Asked) -> bool:
    """Whether tensors that no optimiser holds are what is trained: no parameters stand beside them in the graph, as
    they do where a network is asked for a force, or for a direction to move its input in."""
    if not asked.in_graph:
        return True
    mine = set(map(id, asked.tensors))
    leaves = read_graph([asked.loss]).leaves
    return not any(isinstance(leaf, torch.nn.Parameter) and id(leaf) not in mine for leaf in leaves)


def unwrapped(tensor: Tensor) -> Tensor:
    """The plain numbers below a transform of ``torch.func``."""
    return _functorch.get_unwrapped(tensor) if _functorch.is_gradtrackingtensor(tensor) else tensor


def _tensors(given: Any) -> list[Any]:
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, dict):
        return list(given.values())
    return list(given) if isinstance(given, Sequence) else []


def wrap_grad(
    original: Callable[..., Any], idle: Callable[[], bool], before: Callable[..., bool], after: Callable[..., None]
) -> Callable[..., Any]:
    """``torch.autograd.grad`` that also tells. Compiled code gets the original, by the mark that PyTorch's own wrappers
    bear for its compilers."""

    @functools.wraps(original)
    def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or idle() or _trains_nothing(sys._getframe(1).f_globals):
            return original(outputs, inputs, *args, **kwargs)
        if isinstance(inputs, Iterator):
            inputs = tuple(inputs)  # `model.parameters()` is a generator, and can be read once only
        told = before(outputs, inputs, args[2] if len(args) > 2 else kwargs.get("create_graph", False))
        found = original(outputs, inputs, *args, **kwargs)
        if told:
            after(found)
        return found

    grad.__original_fn = original  # type: ignore[attr-defined]
    grad.__script_if_tracing_wrapper = True  # type: ignore[attr-defined]
    return grad


def _trains_nothing(names: dict[str, Any]) -> bool:
    """Whether code of ours with these global names asks, for a start or a remedy: what looks like an update after its
    gradient is none."""
    return str(names.get("__name__", "")).startswith(_TRAIN_NOTHING)
