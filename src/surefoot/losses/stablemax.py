"""StableMax: a softmax whose tails are polynomial, so that no class is absorbed where softmax loses all of them.

s(z) = z + 1 for z ≥ 0 and 1/(1 − z) for z < 0 takes the place of exp(z). With g = log s, StableMax(z) = softmax(g(z)).
Source: Prieto, Barsbey, Mediano, Birdal, "Grokking at the Edge of Numerical Stability", ICLR 2025, arXiv 2501.04697
(the definitions of StableMax and of its cross-entropy).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from surefoot.losses.stablemax_rows import row_losses, transformed

Reduction = Literal["none", "mean", "sum"]


def stablemax(
    logits: Float[Tensor, "*shape"], dim: int = -1, *, compute_dtype: torch.dtype | None = None
) -> Float[Tensor, "*shape"]:
    """Probabilities s(z_i) / Σ_j s(z_j) over one dimension.

    Unlike softmax, it changes when a constant is added to all logits: do not subtract the maximum first.

    Parameters
    ----------
    logits
        Of a floating-point dtype; ``-inf`` masks a class.
    dim
        The dimension of the classes.
    compute_dtype
        Compute in this dtype and cast back; by default in that of the logits.

    Returns
    -------
    Tensor
        Same shape and dtype as the logits.

    Raises
    ------
    TypeError
        If the logits are not floating-point.

    Source: arXiv 2501.04697, the definition of StableMax.
    """
    z = _floating(logits, compute_dtype)
    # Each branch sees only arguments it is finite for: the one not taken would otherwise send back NaN.
    s = torch.where(z >= 0, z + 1, 1 / (1 - z.clamp(max=0)))
    if z.dtype == torch.float16:
        s = s / s.detach().amax(dim=dim, keepdim=True)  # the sum of a large vocabulary exceeds 65504
    return (s / s.sum(dim=dim, keepdim=True)).to(logits.dtype)


def log_stablemax(
    logits: Float[Tensor, "*shape"], dim: int = -1, *, compute_dtype: torch.dtype | None = None
) -> Float[Tensor, "*shape"]:
    """Logarithm of :func:`stablemax`, as log_softmax(g(z)) with g(z) = sign(z) log(1 + |z|).

    Parameters, result and errors are those of :func:`stablemax`.

    Source: arXiv 2501.04697: StableMax is the softmax of g(z).
    """
    z = _floating(logits, compute_dtype)
    return torch.log_softmax(log_s(z), dim=dim).to(logits.dtype)


def log_s(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """g(z) = log s(z): odd, with slope 1/(1 + |z|), so 1 at 0, where autograd of sign(z)·log1p|z| would give 0."""
    return _LogS.apply(z)


def stablemax_cross_entropy(
    logits: Float[Tensor, "batch classes ..."],
    targets: Int[Tensor, "batch ..."] | Float[Tensor, "batch classes ..."],
    weight: Float[Tensor, " classes"] | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    compute_dtype: torch.dtype | None = None,
) -> Float[Tensor, " *result"]:
    """Cross-entropy with StableMax in place of softmax; called like :func:`torch.nn.functional.cross_entropy`.

    The gradient of a row is (p_i − [i = y]) / (1 + |z_i|), of which softmax's has only the numerator.

    Parameters
    ----------
    logits
        Floating-point; further dimensions after the classes are positions.
    targets
        Class indices (int64), or probabilities of the logits' shape.
    weight
        One factor a class.
    ignore_index
        Targets of this value count for nothing.
    reduction
        ``"mean"`` (weighted by class), ``"sum"`` or ``"none"``.
    label_smoothing
        Share of the target that is spread evenly over the classes, in [0, 1].
    compute_dtype
        Compute in this dtype, and return the loss in it; by default in that of the logits.

    Returns
    -------
    Tensor
        0-d, or one value a target with ``reduction="none"``; in nats.

    Raises
    ------
    TypeError
        If the logits are not floating-point, or the targets neither int64 nor floating-point.
    ValueError
        If the shapes do not fit, a target is no class, or ``reduction`` or ``label_smoothing`` is out of range.

    Source: arXiv 2501.04697, StableMax cross-entropy.
    """
    z = _floating(logits, compute_dtype)
    _check(z, targets, weight, reduction, label_smoothing, ignore_index)
    if weight is not None:
        weight = weight.to(z.dtype)
    if targets.is_floating_point() or label_smoothing > 0:
        return F.cross_entropy(
            log_s(z),
            targets.to(z.dtype) if targets.is_floating_point() else targets,
            weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    rows = z.movedim(1, -1).reshape(-1, z.shape[1])
    labels = targets.reshape(-1)
    kept = labels != ignore_index
    labels = labels.where(kept, 0)
    factors = kept.to(z.dtype) if weight is None else weight[labels] * kept
    losses = torch.where(kept, row_losses(rows, labels) * factors, 0)
    if reduction == "none":
        return losses.reshape(targets.shape)
    return losses.sum() / factors.sum() if reduction == "mean" else losses.sum()


class StableMaxCrossEntropyLoss(nn.Module):
    """:func:`stablemax_cross_entropy` as a module; takes the place of :class:`torch.nn.CrossEntropyLoss`.

    Parameters are those of the function.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Float[Tensor, " classes"] | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        compute_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction: Reduction = reduction
        self.label_smoothing = label_smoothing
        self.compute_dtype = compute_dtype

    def forward(
        self, logits: Float[Tensor, "batch classes ..."], targets: Shaped[Tensor, "batch ..."]
    ) -> Float[Tensor, " *result"]:
        return stablemax_cross_entropy(
            logits,
            targets,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
            compute_dtype=self.compute_dtype,
        )

    def extra_repr(self) -> str:
        text = f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"
        return text if self.compute_dtype is None else f"{text}, compute_dtype={self.compute_dtype}"


class _LogS(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return z.abs().log1p().copysign(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad / (1 + z.abs())

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return tangent / (1 + z.abs())


def _floating(logits: Tensor, compute_dtype: torch.dtype | None) -> Tensor:
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"logits: got {got}; pass a floating-point tensor")
    return logits if compute_dtype is None else logits.to(compute_dtype)


def _check(
    z: Tensor, targets: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float, ignore_index: int
) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: got {reduction!r}; use 'none', 'mean' or 'sum'")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: got {label_smoothing}; use a number in [0, 1]")
    if z.dim() < 2:
        raise ValueError(f"logits: got shape {tuple(z.shape)}; pass (batch, classes) or (batch, classes, positions…)")
    if weight is not None and weight.shape != z.shape[1:2]:
        raise ValueError(f"weight: got shape {tuple(weight.shape)}; pass one number a class, ({z.shape[1]},)")
    if targets.is_floating_point():
        if targets.shape != z.shape:
            raise ValueError(f"targets: got shape {tuple(targets.shape)}; probabilities need {tuple(z.shape)}")
        return
    if targets.dtype != torch.int64:
        raise TypeError(f"targets: got {targets.dtype}; pass class indices (int64) or probabilities")
    fits = (z.shape[0], *z.shape[2:])
    if targets.shape != fits:
        raise ValueError(f"targets: got shape {tuple(targets.shape)}; class indices for these logits need {fits}")
    # Elsewhere the look would wait for the device, whose own gather checks the indices.
    if targets.device.type == "cpu" and targets.numel() and not torch.compiler.is_compiling():
        wrong = ((targets < 0) | (targets >= z.shape[1])) & (targets != ignore_index)
        if not transformed(targets) and bool(wrong.any()):
            raise ValueError(
                f"targets: got class {int(targets[wrong][0])}; the logits have classes 0 to {z.shape[1] - 1}"
            )
