"""Hessian-vector products of a loss whose graph is there already, whole or behind a model that is run once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.autodiff.parameters import flatten, unflatten

Vector = Float[Tensor, " parameters"]


def graph_vjp(
    outputs: Sequence[Tensor | None], inputs: Sequence[Tensor], vectors: Sequence[Tensor | None], keep: bool = True
) -> Sequence[Tensor | None]:
    """The derivative of Σ ⟨output, vector⟩ in the inputs, through the outputs' graph; None where there is none.

    Outputs without a graph, None among them, and vectors that are None add nothing. With gradients as outputs it is
    the product with a Hessian (Pearlmutter 1994). ``keep``: the graph serves again.
    """
    pairs = [
        (o, v.to(o.dtype))
        for o, v in zip(outputs, vectors, strict=True)
        if o is not None and o.requires_grad and v is not None
    ]
    if not pairs:
        return [None] * len(inputs)
    ends, along = zip(*pairs, strict=True)
    return torch.autograd.grad(ends, inputs, along, retain_graph=keep, allow_unused=True)


def graph_hessian(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Vector, Callable[[Vector], Vector]]:
    """Gradient of ``loss`` in ``parameters`` and the map v → H v, through the loss's own graph, which stays usable.

    Raises
    ------
    RuntimeError
        If an op has no second derivative, at the first product.
    """
    slopes = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    kept = [torch.zeros_like(p) if g is None else g for g, p in zip(slopes, parameters, strict=True)]

    def product(vector: Tensor) -> Tensor:
        return flatten(graph_vjp(kept, parameters, unflatten(vector, parameters)), parameters).to(vector)

    return flatten([g.detach() for g in kept], parameters), product


def graph_hessian_matrix(
    loss: Tensor, parameters: Sequence[Tensor], at_once: int = 64
) -> tuple[Vector, Float[Tensor, "parameters parameters"]]:
    """Gradient of ``loss`` in ``parameters`` and the whole Hessian, ``at_once`` rows by one vectorised pass."""
    slopes = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    kept = [torch.zeros_like(p) if g is None else g for g, p in zip(slopes, parameters, strict=True)]
    gradient = torch.cat([g.reshape(-1) for g in kept])
    size = gradient.numel()
    matrix = gradient.new_zeros(size, size)
    if gradient.requires_grad:
        unit = torch.eye(size, dtype=gradient.dtype, device=gradient.device)
        for rows in unit.split(at_once):
            first = int(rows[0].argmax())
            found = torch.autograd.grad(
                gradient, parameters, rows, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
            parts = [
                (rows.new_zeros(len(rows), p.numel()) if f is None else f.reshape(len(rows), -1))
                for f, p in zip(found, parameters, strict=True)
            ]
            matrix[first : first + len(rows)] = torch.cat(parts, dim=1).detach()
    return gradient.detach(), (matrix + matrix.T) / 2


def composite_hessian(
    loss: Tensor, outputs: Sequence[Tensor], again: Sequence[Tensor], parameters: Sequence[Tensor]
) -> tuple[Vector, Callable[[Vector], Vector]]:
    """The same for a loss of a model's ``outputs``, where the model was run a second time, in kernels that have second
    derivatives: its graph leads from ``parameters`` to ``again``, the loss's from ``outputs`` to ``loss``.

    H v = Jᵀ(∇²ℓ)J v + Σ gᵢ ∇²fᵢ v, with g the slopes of the loss in the outputs.
    """
    top = torch.autograd.grad(loss, outputs, create_graph=True, allow_unused=True)
    used = [(g, o, z) for g, o, z in zip(top, outputs, again, strict=True) if g is not None and z.requires_grad]
    slopes, ends, values = ([t[i] for t in used] for i in range(3))
    held = [g.detach().to(z.dtype).requires_grad_() for g, z in zip(slopes, values, strict=True)]
    pulled = torch.autograd.grad(values, parameters, held, create_graph=True, allow_unused=True)
    kept = [torch.zeros_like(p) if g is None else g for g, p in zip(pulled, parameters, strict=True)]

    def product(vector: Tensor) -> Tensor:
        # the pulled gradient is linear in `held`: its derivative there, along v, is J v
        found = graph_vjp(kept, [*parameters, *held], unflatten(vector, parameters))
        second, moved = found[: len(parameters)], found[len(parameters) :]
        curved = graph_vjp(values, parameters, graph_vjp(slopes, ends, moved))
        return (flatten(second, parameters) + flatten(curved, parameters)).to(vector)

    return flatten([g.detach() for g in kept], parameters), product


def graph_sandwich(
    outputs: Tensor, parameters: Sequence[Tensor], middle: Callable[[Tensor], Tensor]
) -> Callable[[Sequence[Tensor]], Sequence[Tensor | None]]:
    """v → Jᵀ M J v through the graph that leads from ``parameters`` to ``outputs``; vectors come in parameters' shapes.

    Parameters
    ----------
    middle : u → M u on the outputs
    """
    # J v is the derivative, in u, of ⟨Jᵀu, v⟩: needs no forward-mode formula of any layer
    held = torch.zeros_like(outputs, requires_grad=True)
    pulled = torch.autograd.grad(outputs, parameters, held, create_graph=True, allow_unused=True)

    def product(pieces: Sequence[Tensor]) -> Sequence[Tensor | None]:
        (moved,) = graph_vjp(pulled, [held], pieces)
        if moved is None:  # the outputs depend on no parameter
            return [None] * len(pieces)
        return graph_vjp([outputs], parameters, [middle(moved)])

    return product
