"""The link from opposing groups to curvature: they pull in opposite senses along the sharpest direction of the loss.

Rosenfeld and Risteski, arXiv 2311.04163: a network balances the two groups on the floor of a narrow valley whose walls
are the groups' losses; its sharpest Hessian direction is the one along which one group's loss rises and the other's
falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from surefoot.autodiff.curvature import HessianOperator
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.autodiff.lanczos import Eigenpairs, Which, extreme_eigenpairs
from surefoot.autodiff.operator import PreconditionedOperator, SymmetricOperator
from surefoot.autodiff.parameters import (
    LossFunction,
    checked,
    flatten,
    mean_loss,
    trainable,
    undisturbed_outputs,
    unflatten,
)


def group_gradient(
    model: nn.Module, loss_fn: LossFunction, data: tuple[Tensor, Tensor], index: Int[Tensor, " group"] | Sequence[int]
) -> Float[Tensor, " parameters"]:
    """Gradient of the mean loss of some rows, in one vector; ``.grad`` is not touched.

    Raises
    ------
    ValueError
        If the group is empty.
    IndexError
        If it names rows that are not there.
    """
    inputs, targets = checked(data)
    index = torch.as_tensor(index, device=inputs.device).long()
    if index.numel() == 0:
        raise ValueError("index: the group is empty; a group gradient needs at least one row")
    parameters = list(trainable(model).values())
    with torch.enable_grad():
        loss = mean_loss(model, loss_fn, inputs[index], targets[index.to(targets.device)])
    return flatten(torch.autograd.grad(loss, parameters, allow_unused=True), parameters).detach()


def group_gradient_cosine(
    model: nn.Module,
    loss_fn: LossFunction,
    data: tuple[Tensor, Tensor],
    idx_a: Int[Tensor, " a"] | Sequence[int],
    idx_b: Int[Tensor, " b"] | Sequence[int],
) -> float:
    """Cosine between the mean gradients of two groups: strongly negative for opposing ones; NaN if one is zero.

    Costs one forward and backward a group.
    """
    return _cosine(group_gradient(model, loss_fn, data, idx_a), group_gradient(model, loss_fn, data, idx_b))


def top_hessian_eig(
    model: nn.Module,
    loss_fn: LossFunction,
    data: tuple[Tensor, Tensor],
    k: int = 1,
    which: Which = "LA",
    start: Float[Tensor, " parameters"] | None = None,
    tol: float = 1e-2,
    max_products: int = 200,
    batch_size: int | None = None,
    preconditioner: Float[Tensor, " parameters"] | None = None,
    seed: int = 0,
) -> Eigenpairs:
    """The k extreme eigenpairs of the Hessian of the mean loss, matrix-free; the first "LA" value is the sharpness.

    Plain power iteration gives the eigenvalue of largest magnitude, which early in training is often a negative one;
    Lanczos with ``which="LA"`` gives the largest algebraic one.

    Parameters
    ----------
    model, loss_fn, data, batch_size : see :class:`surefoot.autodiff.curvature.HessianOperator`; the model is run in the
        mode it is in
    start : what to warm-start from, best the last result's ``restart``: fewer products then suffice
    tol : residual relative to the largest magnitude; the eigenvalue itself is better than that
    max_products : Hessian-vector products at most; ``converged`` tells whether they were enough
    preconditioner : positive diagonal P of an adaptive optimiser (:func:`surefoot.optim.preconditioner`); the pairs
        are then those of P^(−½) H P^(−½), whose eigenvalues are those of P⁻¹H
    seed : of the random part of the start

    Raises
    ------
    ValueError
        For a start or preconditioner of the wrong length or sign, besides what the operator and Lanczos raise.
    """
    operator: SymmetricOperator = HessianOperator(model, loss_fn, data, batch_size=batch_size, mode="train")
    if preconditioner is not None:
        operator = PreconditionedOperator(operator, preconditioner)
    return extreme_eigenpairs(operator, k, which, tol, max_products, start, seed)


def eigen_alignment(
    model: nn.Module,
    loss_fn: LossFunction,
    data: tuple[Tensor, Tensor],
    groups: Sequence[Int[Tensor, " _"] | Sequence[int]],
    vector: Float[Tensor, " parameters"],
) -> tuple[float, ...]:
    """Cosine of each group's mean gradient with a direction such as the top Hessian eigenvector.

    Opposing groups have equal size and opposite sign; the sign of the direction itself is arbitrary.
    """
    return tuple(_cosine(group_gradient(model, loss_fn, data, group), vector) for group in groups)


def sample_slopes(
    model: nn.Module,
    sample_loss_fn: Callable[[Tensor, Tensor], Tensor],
    data: tuple[Tensor, Tensor],
    vector: Float[Tensor, " parameters"],
    batch_size: int | None = None,
) -> Float[Tensor, " n"]:
    """Slope ⟨∇ℓᵢ, v⟩ of every sample's loss along a direction, by two backward passes and no per-sample gradient.

    Along the top Hessian eigenvector the samples of largest magnitude, split by sign, are the opposing groups: this
    finds them before the loss oscillates, where loss changes show nothing yet.

    Parameters
    ----------
    sample_loss_fn : ``(outputs, targets) → losses`` of each row, for instance ``F.cross_entropy(…, reduction="none")``
    vector : direction in the space of the trainable parameters

    Raises
    ------
    ValueError
        If ``sample_loss_fn`` does not give one loss a row, or the vector has another length.
    """
    inputs, targets = checked(data)
    parameters = list(trainable(model).values())
    pieces = unflatten(vector, parameters)
    slopes = []
    for start in range(0, len(inputs), batch_size or len(inputs)):
        rows = slice(start, start + (batch_size or len(inputs)))
        with differentiable_kernels(model), torch.enable_grad():
            losses = sample_loss_fn(undisturbed_outputs(model, inputs[rows]), targets[rows])
            if losses.shape != (len(inputs[rows]),):
                raise ValueError(f"sample_loss_fn: gave shape {tuple(losses.shape)}; must be ({len(inputs[rows])},)")
            # J v as the derivative in u of ⟨uᵀJ, v⟩: needs no forward-mode rule of any layer
            weights = torch.zeros_like(losses, requires_grad=True)
            pulled = torch.autograd.grad(losses, parameters, weights, create_graph=True, allow_unused=True)
            inner = torch.stack([(g * v).sum() for g, v in zip(pulled, pieces, strict=True) if g is not None]).sum()
            slopes.append(torch.autograd.grad(inner, weights)[0].detach())
    return torch.cat(slopes)


def _cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.double(), b.double().to(a.device)
    lengths = float(a.norm() * b.norm())
    return float(a @ b) / lengths if lengths > 0 else float("nan")
