"""``PoincareLinear`` and ``PoincareConv2d``: layers of the ball, tangent vectors in and out."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.nn.hyperbolic._series import square, wide
from surefoot.nn.hyperbolic.ball import PoincareBall
from surefoot.nn.hyperbolic.operations import logmap0
from surefoot.nn.hyperbolic.tangent import from_hyperplanes, hyperplane_linear, lengths, tangent_linear

_INITS = ("identity", "hnn++", "center", "box")


class PoincareLinear(nn.Module):
    """A fully connected layer of the ball, between tangent vectors at 0.

    Parameters
    ----------
    in_features, out_features : sizes of the vectors
    ball : the ball, shared with the other layers
    bias : hyperplanes may leave the origin
    init : ``"identity"`` is half the unit matrix, at which a square layer is exactly the identity; ``"hnn++"`` draws
        from N(0, 1/(2·in·out)), which shrinks norms by √(2/in) a layer
    fused : one pass in the tangent space, without projection; False goes by the ball, as other libraries do

    Raises
    ------
    ValueError
        For an unknown ``init`` or sizes below 1.

    Notes
    -----
    ``weight`` has torch's shape, a row z_k an output. Weight decay pulls it from ½·1, where norms are kept, to 0, where
    they collapse: leave it out of the decay, or keep that small.

    Source: arXiv 2303.14027 (initialisation), arXiv 2006.08210 (layer).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        ball: PoincareBall,
        bias: bool = True,
        init: Literal["identity", "hnn++"] = "identity",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        fused: bool = True,
    ) -> None:
        super().__init__()
        _check_sizes(in_features=in_features, out_features=out_features)
        if init not in _INITS[:2]:
            raise ValueError(f"init: got {init!r}; use 'identity' or 'hnn++'")
        self.in_features, self.out_features, self.init, self.fused = in_features, out_features, init, fused
        self.ball = ball
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set weights by ``init``, and the bias to 0."""
        if self.init == "identity":
            nn.init.eye_(self.weight).div_(2)
        else:
            nn.init.normal_(self.weight, std=(2 * self.in_features * self.out_features) ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}, init={self.init!r}"

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        if self.fused:
            return tangent_linear(x, self.weight, self.bias, self.ball.c)
        ball = self.ball
        y = ball.project(hyperplane_linear(ball.expmap0(x), self.weight, self.bias, ball.c))
        return logmap0(y, ball.c)


class PoincareConv2d(nn.Module):
    """A convolution of the ball: the fully connected layer on each patch, between tangent vectors along channels.

    Patches are put together by β-concatenation, which keeps the expected norm. The fused form needs no unfolding: a
    patch enters by its product with each weight, a convolution, and by its norm.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, bias : as in :class:`torch.nn.Conv2d`, padding by
        zeros, and numbers only
    ball : the ball, shared with the other layers
    init : ``"identity"`` (the authors': half the rectangular unit matrix over channels and taps, so that output j reads
        one tap of channel j // taps; norms fall to about a third), ``"center"`` (each channel from its middle tap, such
        that small vectors keep their norm), ``"box"`` (each channel from all its taps; constant images keep theirs),
        ``"hnn++"``
    fused : False unfolds and goes by the ball

    Raises
    ------
    ValueError
        For an unknown ``init`` or sizes below 1.

    Source: arXiv 2303.14027, arXiv 2006.08210; the form without unfolding, "center" and "box" are ours.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        ball: PoincareBall,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        init: Literal["identity", "center", "box", "hnn++"] = "identity",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.dilation = _pair(kernel_size), _pair(stride), _pair(dilation)
        self.padding = _pair(padding)
        _check_sizes(in_channels=in_channels, out_channels=out_channels, kernel_size=min(self.kernel_size))
        _check_sizes(stride=min(self.stride), dilation=min(self.dilation))
        if init not in _INITS:
            raise ValueError(f"init: got {init!r}; use one of {', '.join(map(repr, _INITS))}")
        self.in_channels, self.out_channels, self.init, self.fused = in_channels, out_channels, init, fused
        self.ball = ball
        taps = math.prod(self.kernel_size)
        self.beta_ratio = _beta(taps * in_channels) / _beta(in_channels)
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels, *self.kernel_size, device=device, dtype=dtype)
        )
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set weights by ``init``, and the bias to 0."""
        weight, taps = self.weight, math.prod(self.kernel_size)
        weight.zero_()
        same = range(min(self.in_channels, self.out_channels))
        if self.init == "identity":
            nn.init.eye_(flat := weight.flatten(1))
            weight.copy_(flat.div(2).view_as(weight))
        elif self.init == "center":
            row, column = (k // 2 for k in self.kernel_size)
            weight[same, same, row, column] = 1 / (2 * self.beta_ratio)
        elif self.init == "box":
            weight[same, same] = 1 / (2 * math.sqrt(taps))
        else:
            nn.init.normal_(weight, std=(2 * self.in_channels * taps * self.out_channels) ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{sizes}, padding={self.padding}, bias={self.bias is not None}, init={self.init!r}"

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        place: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        if self.fused:
            inner = F.conv2d(x, self.weight * self.beta_ratio, **place)
            window = x.new_ones(1, 1, *self.kernel_size, dtype=wide(x).dtype)
            norm = self.beta_ratio * F.conv2d(square(wide(x), 1), window, **place).sqrt()
            bias = None if self.bias is None else self.bias[:, None, None]
            # a patch that lies all in the padding has norm 0, and its root no slope
            return from_hyperplanes(inner, norm, lengths(self.weight)[:, None, None], bias, self.ball.c, dim=1)
        ball, rows = self.ball, F.unfold(x * self.beta_ratio, self.kernel_size, **place).mT
        y = ball.project(hyperplane_linear(ball.expmap0(rows), self.weight.flatten(1), self.bias, ball.c))
        sizes = zip(x.shape[2:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        return logmap0(y, ball.c).mT.unflatten(2, (height, width))


def _beta(n: int) -> float:
    """Euler's B(n/2, 1/2)."""
    return math.exp(math.lgamma(n / 2) + math.lgamma(0.5) - math.lgamma((n + 1) / 2))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: got {size}; use at least 1")
