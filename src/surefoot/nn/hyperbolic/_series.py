"""Even functions that the formulas are made of, exact to rounding also where their quotients cancel near zero."""

from __future__ import annotations

import torch
from torch import Tensor

_NEAR = {torch.float64: 0.02, torch.float32: 0.2}  # below: a series of four terms is nearer than the quotient
LIMIT = {torch.float64: 340.0, torch.float32: 42.0}  # |argument| of sinh and cosh: their squares stay finite
_TINY = {torch.float64: 1e-280, torch.float32: 1e-36}


def wide(x: Tensor) -> Tensor:
    """Half precisions are computed in float32."""
    return x if x.dtype in _NEAR else x.float()


def curvature(c: float | Tensor) -> Tensor:
    """``c`` as a 0-d tensor, which as a scalar mixes with any dtype and device."""
    return c if isinstance(c, Tensor) else torch.full((), float(c), dtype=torch.float64)


def dot(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """⟨x, y⟩ over a dim that is kept."""
    return (x * y).sum(dim, keepdim=True)


def square(x: Tensor, dim: int) -> Tensor:
    """|x|² over a dim that is kept, a hair above zero so that its root has a derivative."""
    return x.square().sum(dim, keepdim=True) + _TINY[x.dtype]


def _choose(p: Tensor, series: tuple[float, ...], direct: Tensor) -> Tensor:
    p2 = p.square()
    value = torch.full_like(p, series[-1])
    for term in reversed(series[:-1]):
        value = value * p2 + term
    return torch.where(p < _NEAR[p.dtype], value, direct)


def _off_zero(p: Tensor) -> Tensor:
    return p.clamp(min=_NEAR[p.dtype] / 2)  # where the series is taken instead; keeps second derivatives finite


def tanhc(p: Tensor) -> Tensor:
    """tanh(p)/p."""
    return _choose(p, (1, -1 / 3, 2 / 15, -17 / 315, 62 / 2835), (q := _off_zero(p)).tanh() / q)


def tanhc_slope(p: Tensor) -> Tensor:
    """(1/cosh²p − tanh(p)/p)/p²: derivative of :func:`tanhc`, over p."""
    q = _off_zero(p)
    t = q.tanh()
    return _choose(p, (-2 / 3, 8 / 15, -34 / 105, 496 / 2835), ((1 - t) * (1 + t) - t / q) / q.square())


def atanhc(p: Tensor) -> Tensor:
    """atanh(p)/p; finite at the rim."""
    q = _inside(_off_zero(p))
    return _choose(p, (1, 1 / 3, 1 / 5, 1 / 7, 1 / 9), q.atanh() / q)


def atanhc_slope(p: Tensor) -> Tensor:
    """(1/(1 − p²) − atanh(p)/p)/p²: derivative of :func:`atanhc`, over p."""
    q = _inside(_off_zero(p))
    return _choose(p, (2 / 3, 4 / 5, 6 / 7, 8 / 9), (1 / ((1 - q) * (1 + q)) - q.atanh() / q) / q.square())


def _inside(p: Tensor) -> Tensor:
    return p.clamp(max=1 - torch.finfo(p.dtype).eps)


def asinhc(p: Tensor) -> Tensor:
    """asinh(p)/p."""
    q = _off_zero(p)
    return _choose(p, (1, -1 / 6, 3 / 40, -15 / 336, 105 / 3456), q.asinh() / q)


def asinhc_slope(p: Tensor) -> Tensor:
    """(1/√(1 + p²) − asinh(p)/p)/p²: derivative of :func:`asinhc`, over p."""
    q = _off_zero(p)
    direct = ((1 + q.square()).rsqrt() - q.asinh() / q) / q.square()
    return _choose(p, (-1 / 3, 3 / 10, -15 / 56, 35 / 144), direct)


def sinhc(p: Tensor) -> Tensor:
    """sinh(p)/p, for p up to :data:`LIMIT`."""
    q = _off_zero(p)
    return _choose(p, (1, 1 / 6, 1 / 120, 1 / 5040, 1 / 362880), q.sinh() / q)


def sinhc_slope(p: Tensor) -> Tensor:
    """(cosh(p) − sinh(p)/p)/p²: derivative of :func:`sinhc`, over p."""
    q = _off_zero(p)
    return _choose(p, (1 / 3, 1 / 30, 1 / 840, 1 / 45360), (q.cosh() - q.sinh() / q) / q.square())


def coshc(p: Tensor) -> Tensor:
    """(cosh(p) − 1)/p²."""
    half = p / 2
    return sinhc(half).square() / 2


def coshc_slope(p: Tensor) -> Tensor:
    """Derivative of :func:`coshc`, over p."""
    half = p / 2
    return sinhc(half) * sinhc_slope(half) / 4
