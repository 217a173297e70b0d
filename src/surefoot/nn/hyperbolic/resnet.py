"""Residual networks of the ball."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.hyperbolic.ball import PoincareBall
from surefoot.nn.hyperbolic.layers import PoincareConv2d, PoincareLinear
from surefoot.nn.hyperbolic.norm import PoincareBatchNorm2d
from surefoot.nn.hyperbolic.tangent import tangent_add

Norm = Literal["midpoint", "frechet"] | None


class PoincareResidual(nn.Module):
    """ReLU(logmap0(expmap0(body(x)) ⊕ expmap0(shortcut(x)))), with vectors along the channels, dim 1.

    Parameters
    ----------
    ball : the ball
    body : tangent vectors in and out
    shortcut : brings the input to the body's output shape; None is the identity
    """

    def __init__(self, ball: PoincareBall, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.ball, self.body, self.shortcut = ball, body, nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Float[Tensor, "batch channels *places"]) -> Float[Tensor, "batch outputs *smaller"]:
        return tangent_add(self.body(x), self.shortcut(x), self.ball.c, dim=1).relu()


class PoincareResNet(nn.Module):
    """A ResNet whose every layer lives on the ball; images in (as tangent vectors), logits out.

    Parameters
    ----------
    channels : of each group; every group but the first halves height and width
    depth : 2 · groups · blocks + 2, so for three groups 8, 14, 20, 26, 32, …
    classes : number of logits
    c : minus the curvature; a :class:`PoincareBall` for a learned one
    in_channels : of the images
    norm : mean of the batch normalisation; None has none
    init : of the convolutions

    Raises
    ------
    ValueError
        If depth does not fit the groups.

    Source: arXiv 2303.14027; ResNet of He et al. for CIFAR.
    """

    def __init__(
        self,
        channels: Sequence[int] = (4, 8, 16),
        depth: int = 20,
        classes: int = 10,
        c: float | PoincareBall = 0.1,
        in_channels: int = 3,
        norm: Norm = "midpoint",
        init: Literal["identity", "center", "box", "hnn++"] = "identity",
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 2 * max(len(channels), 1))
        if rest or blocks < 1 or not channels:
            raise ValueError(f"depth: got {depth}; use 2 · {len(channels)} groups · blocks + 2")
        self.ball = c if isinstance(c, PoincareBall) else PoincareBall(c)

        def conv(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
            layer = PoincareConv2d(inputs, outputs, 3, self.ball, stride=stride, padding=1, init=init)
            return [layer] if norm is None else [layer, PoincareBatchNorm2d(outputs, self.ball, norm)]

        self.stem = nn.Sequential(*conv(in_channels, channels[0]), nn.ReLU())
        body: list[nn.Module] = []
        before = channels[0]
        for group, width in enumerate(channels):
            for block in range(blocks):
                stride = 2 if group and not block else 1
                shortcut = None
                if stride > 1 or before != width:
                    shortcut = PoincareConv2d(before, width, 1, self.ball, stride=stride, init=init)
                inner = nn.Sequential(*conv(before, width, stride), nn.ReLU(), *conv(width, width))
                body.append(PoincareResidual(self.ball, inner, shortcut))
                before = width
        self.body = nn.Sequential(*body)
        head: Literal["identity", "hnn++"] = "hnn++" if init == "hnn++" else "identity"
        self.head = PoincareLinear(before, classes, self.ball, init=head)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.body(self.stem(x)).mean((2, 3)))
