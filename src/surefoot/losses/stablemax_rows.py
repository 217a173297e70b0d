"""StableMax cross-entropy of rows, without a transcendental function in the large arrays and without saving one.

With r = 1/(1 − min(z, 0)), s(z) = r + max(z, 0) and s′(z) = r². The sum over the classes other than the right one,
R = Σ_{k≠y} s(z_k), gives the loss log(1 + R/s(z_y)), exact however confident the row is, and its gradient

    dL/dz_k = r_k² / (R + s_y),   dL/dz_y = −R / ((R + s_y)(1 + |z_y|)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Rows are taken in blocks that stay in a core's cache; on an accelerator, in blocks that keep the scratch memory small.
BLOCK_BYTES = {"cpu": 1 << 18}
OTHER_BLOCK_BYTES = 1 << 28


def row_losses(logits: Float[Tensor, "rows classes"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """StableMax cross-entropy of each row, in nats.

    Half types are summed in float32 inside, as torch's own kernels do. A row with ``+inf`` is NaN.

    Parameters
    ----------
    logits : floating-point; ``-inf`` masks a class
    targets : class indices
    """
    if torch.compiler.is_compiling() or transformed(logits) or transformed(targets):
        return _plain(logits, targets)
    return _RowLosses.apply(logits, targets)[0]


def transformed(tensor: Tensor) -> bool:
    """Whether a ``torch.func`` transform holds the tensor: its values can't be looked at then."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _plain(logits: Tensor, targets: Tensor) -> Tensor:
    """The same from differentiable operations: for a compiler to fuse, and for ``torch.func``."""
    s = 1 / (1 - logits.clamp(max=0)) + logits.relu()
    right = s.gather(1, targets[:, None])[:, 0]
    rest = s.scatter(1, targets[:, None], 0).sum(dim=1)
    total = rest + right
    return torch.log1p(rest / right) + (total - total)


class _RowLosses(torch.autograd.Function):
    @staticmethod
    def forward(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        rest = _wide(logits.new_empty(len(logits)))
        r: Tensor | None = None
        for rows in _blocks(logits):
            z = logits[rows]
            if r is None or len(z) != len(r):
                r, positive = torch.empty_like(z, dtype=rest.dtype), torch.empty_like(z)
            _reciprocal(z, r)
            s = r.add_(torch.clamp(z, min=0, out=positive))
            torch.sum(s.scatter_(1, targets[rows, None], 0), dim=1, out=rest[rows])
        z = _wide(logits.gather(1, targets[:, None])[:, 0])
        right = 1 / (1 - z.clamp(max=0)) + z.clamp(min=0)
        total = rest + right
        total = total + (total - total)  # an infinite sum has no ratios: NaN, as in softmax
        loss = torch.log1p(rest / right) + (total - total)
        return loss.to(logits.dtype), total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])
        ctx.save_for_forward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, None]:
        logits, targets, total = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient itself will be differentiated
            return _differentiable(logits, targets) * grad[:, None], None
        return _gradient(logits, targets, total, grad), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> tuple[Tensor, None]:
        logits, targets, _total = ctx.saved_tensors
        return (_differentiable(logits, targets) * tangent).sum(dim=1), None


def _gradient(logits: Tensor, targets: Tensor, total: Tensor, grad: Tensor) -> Tensor:
    result = torch.empty_like(logits)
    index = targets[:, None]
    scale = (_wide(grad) / total)[:, None]
    for rows in _blocks(logits):
        z, out = logits[rows], result[rows]
        r = out if out.dtype == scale.dtype else torch.empty_like(z, dtype=scale.dtype)
        _reciprocal(z, r).square_().mul_(scale[rows])
        if r is not out:
            out.copy_(r)
    z = _wide(logits.gather(1, index))
    right = 1 / (1 - z.clamp(max=0)) + z.clamp(min=0)
    at_right = -scale * (total[:, None] - right) / (1 + z.abs())
    return result.scatter_(1, index, at_right.to(result.dtype))


def _reciprocal(z: Tensor, out: Tensor) -> Tensor:
    """1/(1 − min(z, 0)), written into ``out``."""
    if z.dtype == out.dtype:
        torch.clamp(z, max=0, out=out)
    else:
        out.copy_(z).clamp_(max=0)
    return out.neg_().add_(1).reciprocal_()


def _differentiable(logits: Tensor, targets: Tensor) -> Tensor:
    index = targets[:, None]
    r = 1 / (1 - logits.clamp(max=0))
    s = r + logits.relu()
    total = s.sum(dim=1, keepdim=True)
    rest = s.scatter(1, index, 0).sum(dim=1, keepdim=True)
    at_right = -rest / (total * (1 + logits.gather(1, index).abs()))
    return (r.square() / total).scatter(1, index, at_right)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _blocks(logits: Tensor) -> Iterator[slice]:
    size = BLOCK_BYTES.get(logits.device.type, OTHER_BLOCK_BYTES)
    step = max(1, size // max(1, logits.shape[1] * logits.element_size()))
    for start in range(0, logits.shape[0], step):
        yield slice(start, start + step)
