"""Operations of the Poincaré ball of curvature −c, with backward passes derived by hand.

Vectors lie along ``dim``. A backward keeps the arguments alone and recomputes the rest, which is what keeps graphs of
composed operations small; all derivatives, also that by c, can be differentiated again. Nothing is projected: see
:func:`project`. Sources: Ganea, Bécigneul, Hofmann, arXiv 1805.09112 (operations); van Spengler, Berkhout, Mettes, ICCV
2023, arXiv 2303.14027 (backward passes by hand; those here are derived anew).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.nn.hyperbolic._series import (
    asinh,
    atanhc,
    atanhc_slope,
    dot,
    square,
    tanhc,
    tanhc_slope,
    wide,
)

Curvature = float | Tensor
RIM = {torch.float64: 1e-5}  # relative distance from the rim that projection keeps; 4e-3 below float64


def mobius_add(
    x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], c: Curvature = 1.0, dim: int = -1
) -> Float[Tensor, ...]:
    """x ⊕ y: the point y after the translation that takes 0 to x. Not commutative.

    Parameters
    ----------
    x, y : points of the ball, of shapes that broadcast
    c : minus the curvature, > 0: a number, or a 0-d tensor that may want a gradient
    dim : along which the vectors lie
    """
    return _called(_MobiusAdd, x, y, c, dim)


def expmap0(v: Float[Tensor, "*shape"], c: Curvature = 1.0, dim: int = -1) -> Float[Tensor, "*shape"]:
    """tanh(√c|v|) v/(√c|v|): the point that the tangent vector ``v`` at 0 leads to."""
    return _Exp0.apply(wide(v), c, dim).to(v.dtype)


def logmap0(y: Float[Tensor, "*shape"], c: Curvature = 1.0, dim: int = -1) -> Float[Tensor, "*shape"]:
    """atanh(√c|y|) y/(√c|y|): the tangent vector at 0 that leads to ``y``; finite at the rim."""
    return _Log0.apply(wide(y), c, dim).to(y.dtype)


def expmap(
    x: Float[Tensor, "*#shape"], v: Float[Tensor, "*#shape"], c: Curvature = 1.0, dim: int = -1
) -> Float[Tensor, ...]:
    """x ⊕ tanh(√c λ_x|v|/2) v/(√c|v|): the point that the tangent vector ``v`` at ``x`` leads to."""
    return _called(_Exp, x, v, c, dim)


def logmap(
    x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], c: Curvature = 1.0, dim: int = -1
) -> Float[Tensor, ...]:
    """The tangent vector at ``x`` that leads to ``y``."""
    return _called(_Log, x, y, c, dim)


def dist(
    x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"], c: Curvature = 1.0, dim: int = -1, keepdim: bool = False
) -> Float[Tensor, ...]:
    """(2/√c) asinh(√c|x − y| / √((1 − c|x|²)(1 − c|y|²))): the distance, exact also near the rim and near x = y."""
    found = _called(_Dist, x, y, c, dim)
    return found if keepdim else found.squeeze(dim)


def conformal_factor(x: Float[Tensor, "*shape"], c: Curvature = 1.0, dim: int = -1) -> Float[Tensor, ...]:
    """λ_x = 2/(1 − c|x|²), a quotient; ``dim`` is kept."""
    return 2 / (1 - c * x.square().sum(dim, keepdim=True))


def gyration(
    u: Float[Tensor, "*#shape"],
    v: Float[Tensor, "*#shape"],
    w: Float[Tensor, "*#shape"],
    c: Curvature = 1.0,
    dim: int = -1,
) -> Float[Tensor, ...]:
    """gyr[u, v]w = −(u ⊕ v) ⊕ (u ⊕ (v ⊕ w)): a rotation of w, in closed form."""
    u2, v2 = u.square().sum(dim, keepdim=True), v.square().sum(dim, keepdim=True)
    uv, uw, vw = dot(u, v, dim), dot(u, w, dim), dot(v, w, dim)
    a = -c * c * uw * v2 + c * vw + 2 * c * c * uv * vw
    b = -c * c * vw * u2 - c * uw
    return w + 2 * (a * u + b * v) / (1 + 2 * c * uv + c * c * u2 * v2)


def transport(
    x: Float[Tensor, "*#shape"],
    y: Float[Tensor, "*#shape"],
    v: Float[Tensor, "*#shape"],
    c: Curvature = 1.0,
    dim: int = -1,
) -> Float[Tensor, ...]:
    """The tangent vector ``v`` at ``x``, moved in parallel along the geodesic to ``y``: gyr[y, −x]v λ_x/λ_y."""
    return gyration(y, -x, v, c, dim) * conformal_factor(x, c, dim) / conformal_factor(y, c, dim)


def project(
    x: Float[Tensor, "*shape"], c: Curvature = 1.0, dim: int = -1, eps: float | None = None
) -> Float[Tensor, "*shape"]:
    """Points beyond (1 − eps)/√c are put back to there, others left; ``eps`` is 1e-5 in float64, else 4e-3."""
    eps = RIM.get(x.dtype, 4e-3) if eps is None else eps
    largest = (1 - eps) / c**0.5
    norm = square(wide(x), dim).sqrt()
    return torch.where(norm > largest, (x * (largest / norm)).to(x.dtype), x)


def _called(function: Any, x: Tensor, y: Tensor, c: Curvature, dim: int) -> Tensor:
    dtype = torch.promote_types(x.dtype, y.dtype)
    kind = dtype if dtype == torch.float64 else torch.float32
    return function.apply(x.to(kind), y.to(kind), c, dim).to(dtype)


def reduced(gradient: Tensor, like: Tensor) -> Tensor:
    """The gradient of what was broadcast."""
    return gradient.sum_to_size(like.shape).to(like.dtype)


class _Kept(torch.autograd.Function):
    """A function of tensors that end with c, and of dim; the backward keeps its arguments and nothing else."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, c, ctx.dim = inputs
        ctx.c = None if isinstance(c, Tensor) else c  # what is no tensor costs no operation
        ctx.save_for_backward(*tensors, *([] if ctx.c is not None else [c]))


def kept(ctx: Any) -> tuple[Any, ...]:
    """The tensors, and c."""
    return ctx.saved_tensors if ctx.c is None else (*ctx.saved_tensors, ctx.c)


class _MobiusAdd(_Kept):
    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Curvature, dim: int) -> Tensor:
        return _mobius(x, y, c, dim)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        x, y, c = kept(ctx)
        dx, dy, dc = _mobius_backward(u, x, y, c, ctx.dim)
        return reduced(dx, x), reduced(dy, y), reduced(dc, c) if ctx.needs_input_grad[2] else None, None


def _mobius(x: Tensor, y: Tensor, c: Curvature, dim: int) -> Tensor:
    xy, x2, y2 = dot(x, y, dim), x.square().sum(dim, keepdim=True), y.square().sum(dim, keepdim=True)
    return ((1 + 2 * c * xy + c * y2) * x + (1 - c * x2) * y) / (1 + 2 * c * xy + c * c * x2 * y2)


def _mobius_backward(u: Tensor, x: Tensor, y: Tensor, c: Curvature, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    xy, x2, y2 = dot(x, y, dim), x.square().sum(dim, keepdim=True), y.square().sum(dim, keepdim=True)
    ux, uy = dot(u, x, dim), dot(u, y, dim)
    a, b, bottom = 1 + 2 * c * xy + c * y2, 1 - c * x2, 1 + 2 * c * xy + c * c * x2 * y2
    k, along = 2 * c / bottom, (a * ux + b * uy) / bottom
    dx = a / bottom * u - k * (c * y2 * along + uy) * x - k * (along - ux) * y
    dy = b / bottom * u + k * (ux - along) * x + k * (ux - c * x2 * along) * y
    dc = ((2 * xy + y2) * ux - x2 * uy) / bottom - along * (2 * xy + 2 * c * x2 * y2) / bottom
    return dx, dy, dc


class _Exp0(_Kept):
    @staticmethod
    def forward(v: Tensor, c: Curvature, dim: int) -> Tensor:
        return tanhc((c * square(v, dim)).sqrt()) * v

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        v, c = kept(ctx)
        v2, uv = square(v, ctx.dim), dot(u, v, ctx.dim)
        p = (c * v2).sqrt()
        slope = tanhc_slope(p)
        dc = reduced(uv * v2 * slope / 2, c) if ctx.needs_input_grad[1] else None
        return tanhc(p) * u + c * uv * slope * v, dc, None


class _Log0(_Kept):
    @staticmethod
    def forward(y: Tensor, c: Curvature, dim: int) -> Tensor:
        return atanhc((c * square(y, dim)).sqrt()) * y

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        y, c = kept(ctx)
        y2, uy = square(y, ctx.dim), dot(u, y, ctx.dim)
        p = (c * y2).sqrt()
        slope = atanhc_slope(p)
        dc = reduced(uy * y2 * slope / 2, c) if ctx.needs_input_grad[1] else None
        return atanhc(p) * u + c * uy * slope * y, dc, None


def _half_factor(x: Tensor, c: Curvature, dim: int) -> Tensor:
    return 1 / (1 - c * x.square().sum(dim, keepdim=True))


class _Exp(_Kept):
    @staticmethod
    def forward(x: Tensor, v: Tensor, c: Curvature, dim: int) -> Tensor:
        half = _half_factor(x, c, dim)
        return _mobius(x, half * tanhc((c * square(v, dim)).sqrt() * half) * v, c, dim)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        x, v, c = kept(ctx)
        dim = ctx.dim
        half, v2 = _half_factor(x, c, dim), square(v, dim)
        p = (c * v2).sqrt() * half
        scale, slope = half * tanhc(p), half**3 * tanhc_slope(p)
        dx, dg, dc = _mobius_backward(u, x, scale * v, c, dim)
        gv = dot(dg, v, dim)
        dhalf = gv / p.cosh().square()  # of half · tanhc(half · √c|v|)
        dx = dx + 2 * c * half.square() * dhalf * x
        dv = scale * dg + c * gv * slope * v
        dc = dc + gv * v2 * slope / 2 + dhalf * half.square() * x.square().sum(dim, keepdim=True)
        return reduced(dx, x), reduced(dv, v), reduced(dc, c) if ctx.needs_input_grad[2] else None, None


class _Log(_Kept):
    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Curvature, dim: int) -> Tensor:
        w = _mobius(-x, y, c, dim)
        return atanhc((c * square(w, dim)).sqrt()) / _half_factor(x, c, dim) * w

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        x, y, c = kept(ctx)
        dim = ctx.dim
        w = _mobius(-x, y, c, dim)
        w2, uw, x2 = square(w, dim), dot(u, w, dim), x.square().sum(dim, keepdim=True)
        p, inverse = (c * w2).sqrt(), 1 - c * x2
        scale, slope = atanhc(p), atanhc_slope(p)
        dminus, dy, dc = _mobius_backward(inverse * (scale * u + c * uw * slope * w), -x, y, c, dim)
        dx = -dminus - 2 * c * scale * uw * x
        dc = dc + inverse * uw * w2 * slope / 2 - x2 * scale * uw
        return reduced(dx, x), reduced(dy, y), reduced(dc, c) if ctx.needs_input_grad[2] else None, None


class _Dist(_Kept):
    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Curvature, dim: int) -> Tensor:
        halves = _half_factor(x, c, dim) * _half_factor(y, c, dim)
        return 2 / c**0.5 * asinh((c * (x - y).square().sum(dim, keepdim=True) * halves).sqrt())

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        x, y, c = kept(ctx)
        dim, apart = ctx.dim, x - y
        half_x, half_y, apart2 = _half_factor(x, c, dim), _half_factor(y, c, dim), square(x - y, dim)
        h = (c * apart2 * half_x * half_y).sqrt()
        dh = u * 2 / c**0.5 * h / (1 + h.square()).sqrt()  # times h, so that no quotient by |x − y| is left below
        away = dh / apart2 * apart
        dx, dy = away + c * half_x * dh * x, c * half_y * dh * y - away
        x2, y2 = x.square().sum(dim, keepdim=True), y.square().sum(dim, keepdim=True)
        dc = dh * (1 / c + half_x * x2 + half_y * y2) / 2 - u * asinh(h) / c**1.5
        return reduced(dx, x), reduced(dy, y), reduced(dc, c) if ctx.needs_input_grad[2] else None, None
