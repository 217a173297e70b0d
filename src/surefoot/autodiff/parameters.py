"""A model's parameters as one vector, and its loss as a number with a graph: what derivative operators begin with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""``loss_fn(outputs, targets)``: a mean over the rows, as a 0-d tensor."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name, each once.

    Raises
    ------
    ValueError
        If there is none.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(f"model: no parameter of {type(model).__name__} requires a gradient; set requires_grad first")
    return parameters


def flatten(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> Float[Tensor, " parameters"]:
    """All elements in one vector, on the first parameter's device; None counts as zeros."""
    device = like[0].device
    return torch.cat(
        [(torch.zeros_like(p) if t is None else t).reshape(-1).to(device) for t, p in zip(tensors, like, strict=True)]
    )


def unflatten(vector: Float[Tensor, " parameters"], like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of :func:`flatten`: pieces with the shapes, dtypes and devices of ``like``.

    Raises
    ------
    ValueError
        If the vector's length is not the number of elements of ``like``.
    """
    sizes = [p.numel() for p in like]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"vector: has shape {tuple(vector.shape)}; must be ({sum(sizes)},), one value a parameter")
    pieces = vector.split(sizes)
    return [v.reshape(p.shape).to(p) for v, p in zip(pieces, like, strict=True)]


@contextlib.contextmanager
def modes_kept(model: nn.Module) -> Iterator[list[nn.Module]]:
    """The model's modules, each of which is back in the mode that it was in afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield [module for module, _ in modes]
    finally:
        for module, mode in modes:
            module.training = mode


def call_with(
    model: nn.Module, tensors: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> Any:
    """:func:`torch.func.functional_call`, also where layers share a submodule.

    torch puts a tensor in place under each of a module's names in turn, keeps what it finds there, and puts that back
    in the same order: a module with two names ends with the tensor that it was lent, and the script's own parameter is
    gone from it. Here each module's slot is named once.
    """
    known: dict[str, Tensor] = {**dict(model.named_parameters(remove_duplicate=False))}
    known |= dict(model.named_buffers(remove_duplicate=False))
    lent = {id(known[name]): tensor for name, tensor in tensors.items()}
    slots = {}
    for prefix, module in model.named_modules():
        for found in (module.named_parameters, module.named_buffers):
            for name, tensor in found(prefix, recurse=False, remove_duplicate=False):
                if id(tensor) in lent:
                    slots[name] = lent[id(tensor)]
    return torch.func.functional_call(model, slots, args, dict(kwargs or {}), tie_weights=False)


def undisturbed_outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's outputs with their graph, leaving buffers (batch-norm statistics) and random states as they were."""
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        return call_with(model, {**dict(model.named_parameters()), **buffers}, (inputs,))


def mean_loss(model: nn.Module, loss_fn: LossFunction, inputs: Tensor, targets: Tensor) -> Float[Tensor, ""]:
    """The loss with its graph, see :func:`undisturbed_outputs`.

    Raises
    ------
    ValueError
        If ``loss_fn`` does not give one number.
    """
    return one_number(loss_fn(undisturbed_outputs(model, inputs), targets))


def one_number(loss: Any) -> Float[Tensor, ""]:
    """The loss as a 0-d tensor.

    Raises
    ------
    ValueError
        If it is not one number.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn: gave {shape}; must give one number, the mean over the rows")
    return loss.reshape(())


def checked(data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Inputs and targets as given, once it is clear that they are as many rows of one as of the other.

    Raises
    ------
    TypeError, ValueError
        If ``data`` is not a pair of tensors, or their lengths differ or are zero.
    """
    if not isinstance(data, tuple | list) or len(data) != 2 or not all(isinstance(t, Tensor) and t.dim() for t in data):
        raise TypeError(f"data: got {type(data).__name__}; must be a pair (inputs, targets) of tensors, rows first")
    inputs, targets = data
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise ValueError(f"data: {len(inputs)} inputs and {len(targets)} targets; must be equally many, at least one")
    return inputs, targets
