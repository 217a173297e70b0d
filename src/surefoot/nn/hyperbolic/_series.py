"""Even functions that the formulas are made of, exact to rounding also where their derivatives cancel near zero.

``torch.where`` and ``torch.asinh`` are not vectorised on CPUs, where each costs as much as thirty products: here a
weight of 0 or 1 chooses, and the inverse is a logarithm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_NEAR = {torch.float64: 0.02, torch.float32: 0.2}  # below: a series of four terms is nearer than the quotient
LIMIT = {torch.float64: 340.0, torch.float32: 42.0}  # |argument| of sinh and cosh: their squares stay finite
TINY = {torch.float64: 1e-280, torch.float32: 1e-36}


def wide(x: Tensor) -> Tensor:
    """Half precisions are computed in float32."""
    return x if x.dtype in _NEAR else x.float()


def dot(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """⟨x, y⟩ over a dim that is kept."""
    return (x * y).sum(dim, keepdim=True)


class _Square(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int) -> Tensor:
        return x.square().sum(dim, keepdim=True).add_(TINY[x.dtype])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, None]:
        return 2 * u * ctx.saved_tensors[0], None  # in this order one pass over x; torch's own takes three


def square(x: Tensor, dim: int) -> Tensor:
    """|x|² over a dim that is kept, a hair above zero so that its root has a derivative."""
    return _Square.apply(x, dim) if torch.is_grad_enabled() else _Square.forward(x, dim)


def below(x: Tensor, bound: float) -> Tensor:
    """1 where x is below the bound, else 0, in the dtype of x; without a derivative."""
    return (bound - x.detach()).sign().clamp(min=0)


def _function(value: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of each element with its derivative given, as that of the quotient would cancel."""

    class Elementwise(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return value(x)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, u: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return u * slope(x)

    return lambda x: Elementwise.apply(x) if torch.is_grad_enabled() else value(x)


def asinh_into(x: Tensor, out: Tensor, spare: Tensor) -> Tensor:
    """asinh(x) for |x| whose square is finite, without a derivative and without memory of its own."""
    share = torch.mul(x, x, out=spare).add_(1).sqrt_().add_(1)
    size = torch.abs(x, out=out)
    share = torch.div(size, share, out=share).mul_(size)
    return size.add_(share).log1p_().copysign_(x)


asinh = _function(lambda x: asinh_into(x, torch.empty_like(x), torch.empty_like(x)), lambda x: (1 + x.square()).rsqrt())
"""For |x| whose square is finite."""


def _choose(p: Tensor, series: tuple[float, ...], direct: Tensor) -> Tensor:
    p2 = p.clamp(max=_NEAR[p.dtype]).square()  # beyond, the series may overflow, and 0 · ∞ is no number
    value = torch.full_like(p, series[-1])
    for term in reversed(series[:-1]):
        value = value * p2 + term
    return torch.lerp(direct, value, below(p, _NEAR[p.dtype]))


def _off_zero(p: Tensor) -> Tensor:
    return p.clamp(min=_NEAR[p.dtype] / 2)  # where the series is taken instead; keeps second derivatives finite


def _nonzero(p: Tensor) -> Tensor:
    return p.clamp(min=1e-30)  # c·|x|² may underflow to zero


def _inside(p: Tensor) -> Tensor:
    return p.clamp(max=1 - torch.finfo(p.dtype).eps)


def tanhc_slope(p: Tensor) -> Tensor:
    """(1/cosh²p − tanh(p)/p)/p²: derivative of :func:`tanhc`, over p."""
    q = _off_zero(p)
    t = q.tanh()
    return _choose(p, (-2 / 3, 8 / 15, -34 / 105, 496 / 2835), ((1 - t) * (1 + t) - t / q) / q.square())


def atanhc_slope(p: Tensor) -> Tensor:
    """(1/(1 − p²) − atanh(p)/p)/p²: derivative of :func:`atanhc`, over p."""
    q = _inside(_off_zero(p))
    return _choose(p, (2 / 3, 4 / 5, 6 / 7, 8 / 9), (1 / ((1 - q) * (1 + q)) - q.atanh() / q) / q.square())


def asinhc_slope(p: Tensor) -> Tensor:
    """(1/√(1 + p²) − asinh(p)/p)/p²: derivative of :func:`asinhc`, over p."""
    q = _off_zero(p)
    direct = ((1 + q.square()).rsqrt() - asinh(q) / q) / q.square()
    return _choose(p, (-1 / 3, 3 / 10, -15 / 56, 35 / 144), direct)


def sinhc_slope(p: Tensor) -> Tensor:
    """(cosh(p) − sinh(p)/p)/p²: derivative of :func:`sinhc`, over p."""
    q = _off_zero(p)
    return _choose(p, (1 / 3, 1 / 30, 1 / 840, 1 / 45360), (q.cosh() - q.sinh() / q) / q.square())


tanhc = _function(lambda p: (q := _nonzero(p)).tanh() / q, lambda p: p * tanhc_slope(p))
"""tanh(p)/p for p ≥ 0."""
atanhc = _function(lambda p: (q := _inside(_nonzero(p))).atanh() / q, lambda p: p * atanhc_slope(p))
"""atanh(p)/p for p ≥ 0; finite at the rim."""
asinhc = _function(lambda p: asinh(q := _nonzero(p)) / q, lambda p: p * asinhc_slope(p))
"""asinh(p)/p for p ≥ 0."""
sinhc = _function(lambda p: (q := _nonzero(p)).sinh() / q, lambda p: p * sinhc_slope(p))
"""sinh(p)/p for 0 ≤ p up to :data:`LIMIT`."""


gap_squared = _function(
    lambda h: 4 * asinh(h.sqrt()).square(), lambda h: 4 * asinhc((h + TINY[h.dtype]).sqrt()) / (1 + h).sqrt()
)
"""The square of the p ≥ 0 with sinh²(p/2) = h."""


def coshc(p: Tensor) -> Tensor:
    """(cosh(p) − 1)/p²."""
    return sinhc(p / 2).square() / 2


def coshc_slope(p: Tensor) -> Tensor:
    """Derivative of :func:`coshc`, over p."""
    half = p / 2
    return sinhc(half) * sinhc_slope(half) / 4
