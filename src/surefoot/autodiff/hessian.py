"""Hessian-vector products of a model's loss, without ever forming the Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.autodiff.kernels import differentiable_kernels

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


def undisturbed_outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's outputs with their graph, leaving buffers (batch-norm statistics) and random states as they were."""
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        return torch.func.functional_call(model, {**dict(model.named_parameters()), **buffers}, (inputs,))


def mean_loss(model: nn.Module, loss_fn: LossFunction, inputs: Tensor, targets: Tensor) -> Float[Tensor, ""]:
    """The loss with its graph, see :func:`undisturbed_outputs`.

    Raises
    ------
    ValueError
        If ``loss_fn`` does not give one number.
    """
    loss = loss_fn(undisturbed_outputs(model, inputs), targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn: gave {shape}; must give one number, the mean over the rows")
    return loss.reshape(())


def hessian_operator(
    model: nn.Module,
    loss_fn: LossFunction,
    data: tuple[Tensor, Tensor],
    batch_size: int | None = None,
) -> Callable[[Float[Tensor, " parameters"]], Float[Tensor, " parameters"]]:
    """The map v → H v with H the Hessian of the mean loss over ``data`` in the trainable parameters.

    H v = ∇⟨∇L, v⟩ (Pearlmutter 1994). With ``batch_size=None`` the graph of the gradient is built once and kept, so
    that a product costs one backward through it; with a batch size the graph of one batch at a time is held, and a
    product costs a forward and two backward passes.

    Parameters
    ----------
    model : run in the mode it is in; its buffers and random states are left alone
    loss_fn : ``loss_fn(outputs, targets)``, the mean over rows
    data : inputs and targets, rows first
    batch_size : rows in memory at a time; None for all. Exact for losses that are means over rows (batch norm in
        train mode is not)

    Raises
    ------
    ValueError
        For inputs and targets of different or zero length, a batch size below 1, a loss that is not one number.
    """
    inputs, targets = checked(data)
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}; must be at least 1, or None for all rows at once")
    parameters = list(trainable(model).values())
    rows = len(inputs)

    def gradient(start: int, stop: int) -> list[Tensor]:
        with differentiable_kernels(model), torch.enable_grad():
            loss = mean_loss(model, loss_fn, inputs[start:stop], targets[start:stop])
            slopes = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for g, p in zip(slopes, parameters, strict=True)]

    def product(slopes: list[Tensor], vector: Tensor, keep: bool) -> Tensor:
        used = [(g, v) for g, v in zip(slopes, unflatten(vector, parameters), strict=True) if g.requires_grad]
        if not used:  # a loss linear in all parameters
            return torch.zeros_like(vector)
        with differentiable_kernels(model):
            second = torch.autograd.grad(
                [g for g, _ in used], parameters, [v for _, v in used], retain_graph=keep, allow_unused=True
            )
        return flatten(second, parameters).to(vector)

    if batch_size is None or batch_size >= rows:
        kept = gradient(0, rows)
        return lambda vector: product(kept, vector, keep=True)

    def in_batches(vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for start in range(0, rows, batch_size):
            stop = min(rows, start + batch_size)
            total += (stop - start) / rows * product(gradient(start, stop), vector, keep=False)
        return total

    return in_batches


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
