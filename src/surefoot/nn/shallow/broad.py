"""Parallel branches fused into one broad layer: exact, and one large kernel in place of many small ones.

Σ V_i σ(W_i x + b_i) + c_i = V σ(W x + b) + Σ c_i with the V_i side by side and the W_i below each other; where nothing
follows the activation, the L groups of outputs are summed.

Source: Bermeitinger, Hrycej, Handschuh 2023, arXiv 2309.08414; the fusion is derived from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.nn.shallow.stacks import ParallelStack

_DENSE = (nn.Linear, nn.Conv2d)


class BroadLayer(nn.Module):
    """x + scale · (V σ(W n(x) + b) + c), or x + scale · Σ over groups of σ(W n(x) + b) where there is no V.

    Made by :func:`fuse_parallel`; its parameters are its own, and train.

    Parameters
    ----------
    first : W and b, of all branches
    activation : between
    second : V and c; None for branches that end with the activation
    groups : branches
    scale : of the sum
    norm : a LayerNorm without weights in front of W, where branches begin with one
    """

    def __init__(
        self,
        first: nn.Module,
        activation: nn.Module,
        second: nn.Module | None,
        groups: int,
        scale: float = 1.0,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm, self.first, self.activation, self.second = norm, first, activation, second
        self.groups, self.scale = groups, scale

    def extra_repr(self) -> str:
        return f"groups={self.groups}, scale={self.scale}"

    def _sum(self, hidden: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.first(x if self.norm is None else self.norm(x)))
        out = self._sum(hidden) if self.second is None else self.second(hidden)
        return torch.add(x, out, alpha=self.scale)


class BroadMLP(BroadLayer):
    """A :class:`BroadLayer` of linear layers."""

    def _sum(self, hidden: Tensor) -> Tensor:
        return hidden.unflatten(-1, (self.groups, -1)).sum(-2)


class BroadConv2d(BroadLayer):
    """A :class:`BroadLayer` of convolutions."""

    def _sum(self, hidden: Tensor) -> Tensor:
        return hidden.unflatten(1, (self.groups, -1)).sum(1)


def fuse_parallel(stack: ParallelStack) -> BroadMLP | BroadConv2d:
    """The stack as one broad layer: the same function to round-off, from copies of its weights.

    Branches may be ``Sequential([LayerNorm,] Linear, activation[, Linear])`` or ``Sequential(Conv2d, activation[,
    Conv2d])``, all of one make: they share activation, stride, padding, dilation, padding mode, and a LayerNorm's eps
    and shape; its weights are folded into W.

    Raises
    ------
    ValueError
        With the reason, where they can't be fused.

    Source: arXiv 2309.08414; derived.
    """
    if not len(stack.branches):
        raise ValueError("stack: it has no branch to fuse")
    made = [_parts(i, branch) for i, branch in enumerate(stack.branches)]
    norms, firsts, activations, seconds = (list(column) for column in zip(*made, strict=True))
    _alike("LayerNorm", [None if n is None else (n.normalized_shape, n.eps) for n in norms])
    _alike("activation", [repr(a) for a in activations])
    if any(True for a in activations for _ in a.parameters()):
        raise ValueError("branches: an activation with weights of its own can't be shared; use one without")
    _alike("first layer", [_make(layer) for layer in firsts])
    _alike("last layer", [None if layer is None else _make(layer) for layer in seconds])
    with torch.no_grad():
        folded = [_fold(norm, layer) for norm, layer in zip(norms, firsts, strict=True)]
        first = _joined(firsts[0], torch.cat([w for w, _ in folded]), _cat([b for _, b in folded]))
        second = None
        if seconds[0] is not None:
            biases = [layer.bias for layer in seconds if layer.bias is not None]
            second = _joined(
                seconds[0],
                torch.cat([layer.weight for layer in seconds], 1),
                torch.stack(biases).sum(0) if biases else None,
            )
    norm = None
    if norms[0] is not None:
        norm = nn.LayerNorm(norms[0].normalized_shape, norms[0].eps, elementwise_affine=False)
    kind = BroadMLP if isinstance(first, nn.Linear) else BroadConv2d
    return kind(first, activations[0], second, len(made), stack.scale, norm)


def _parts(index: int, branch: nn.Module) -> tuple[Any, Any, nn.Module, Any]:
    """Norm, first layer, activation, last layer."""
    modules = list(branch.children()) if isinstance(branch, nn.Sequential) else [branch]
    norm = modules.pop(0) if modules and isinstance(modules[0], nn.LayerNorm) else None
    good = len(modules) in (2, 3) and isinstance(modules[0], _DENSE) and not isinstance(modules[1], _DENSE)
    good = (
        good
        and not any(True for _ in modules[1].buffers())
        and (len(modules) == 2 or type(modules[2]) is type(modules[0]))
    )
    if not good or (norm is not None and not isinstance(modules[0], nn.Linear)):
        kinds = ", ".join(type(m).__name__ for m in branch.children()) or type(branch).__name__
        raise ValueError(
            f"branches: number {index} is ({kinds}); can fuse Sequential([LayerNorm,] Linear, activation[, Linear]) "
            "and Sequential(Conv2d, activation[, Conv2d])"
        )
    return norm, modules[0], modules[1], modules[2] if len(modules) == 3 else None


def _make(layer: nn.Module) -> tuple[Any, ...]:
    if isinstance(layer, nn.Conv2d):
        if layer.groups != 1:
            raise ValueError(f"branches: a convolution in {layer.groups} groups can't be fused; groups must be 1")
        return (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.padding_mode)
    return (type(layer).__name__,)


def _alike(what: str, values: Sequence[Any]) -> None:
    """Refuse branches that differ in this."""
    for i, value in enumerate(values):
        if value != values[0]:
            raise ValueError(f"branches: the {what} of number {i} is {value}, that of number 0 {values[0]}; must agree")


def _fold(norm: Any, layer: Any) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer behind the norm's own."""
    if norm is None or norm.weight is None:
        return layer.weight, layer.bias
    bias = layer.bias
    if norm.bias is not None:
        moved = layer.weight @ norm.bias
        bias = moved if bias is None else bias + moved
    return layer.weight * norm.weight, bias


def _cat(biases: Sequence[Tensor | None]) -> Tensor | None:
    there = [b for b in biases if b is not None]
    if len(there) not in (0, len(biases)):
        raise ValueError("branches: some first layers have a bias and some have none; give all of them one")
    return torch.cat(there) if there else None


def _joined(like: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A layer of the same make with these weights."""
    place: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    if isinstance(like, nn.Linear):
        layer: Any = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, **place)
    else:
        layer = nn.Conv2d(
            weight.shape[1], weight.shape[0], like.kernel_size, like.stride, like.padding, like.dilation,
            bias=bias is not None, padding_mode=like.padding_mode, **place,
        )  # fmt: skip
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer
