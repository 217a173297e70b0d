"""Layers of the ball written in the tangent space at 0: nothing comes near the rim, so nothing is projected.

Composed as logmap0 ∘ layer ∘ expmap0, a layer loses its digits where tanh saturates, in float32 from a tangent norm of
about 3/√c on. In the coordinates of the hyperboloid the same maps need sinh, cosh and asinh of tangent norms only. The
formulas are derived here and equal the composed ones to rounding (tests); the fully connected layer is that of
Shimizu, Mukuta, Harada, "Hyperbolic Neural Networks++", arXiv 2006.08210.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.autodiff.twice import differentiable_backward
from surefoot.nn.hyperbolic._series import (
    LIMIT,
    TINY,
    asinh,
    asinh_into,
    asinhc,
    asinhc_slope,
    below,
    coshc,
    coshc_slope,
    dot,
    sinhc,
    sinhc_slope,
    square,
    wide,
)
from surefoot.nn.hyperbolic.operations import Curvature, _called, _Kept, conformal_factor, kept, reduced


def hyperplane_linear(
    x: Float[Tensor, "*batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None,
    c: Curvature = 1.0,
) -> Float[Tensor, "*batch outputs"]:
    """The fully connected layer on points of the ball: point in, point out (HNN++, section 3.2).

    Parameters
    ----------
    x : points, c|x|² < 1
    weight : a row z_k for each output: normal of its hyperplane, and its scale
    bias : offset r_k of each hyperplane along its normal; None is 0
    """
    s, length, factor = c**0.5, lengths(weight), conformal_factor(x, c)
    inner = s * factor * (x @ weight.T) / length
    if bias is not None:
        inner = inner * (2 * s * bias).cosh() - (factor - 1) * (2 * s * bias).sinh()
    w = (2 * length * asinh(inner)).sinh() / s
    return w / (1 + (1 + c * w.square().sum(-1, keepdim=True)).sqrt())


def lengths(weight: Float[Tensor, " outputs *inputs"]) -> Float[Tensor, " outputs"]:
    """|z_k| of each row. A row of zeros still gets a gradient."""
    return (square(wide(weight).flatten(1), 1).squeeze(1) + 1e-30).sqrt()


def tangent_linear(
    u: Float[Tensor, "*batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None,
    c: Curvature = 1.0,
) -> Float[Tensor, "*batch outputs"]:
    """logmap0(hyperplane_linear(expmap0(u))), fused. Parameters are those of :func:`hyperplane_linear`."""
    return from_hyperplanes(u @ weight.T, square(wide(u), -1).sqrt(), lengths(weight), bias, c)


def from_hyperplanes(
    inner: Float[Tensor, ...],
    norm: Float[Tensor, ...],
    length: Float[Tensor, ...],
    bias: Float[Tensor, ...] | None,
    c: Curvature = 1.0,
    dim: int = -1,
) -> Float[Tensor, ...]:
    """The output of a fused layer from what it needs of its input: ⟨u, z_k⟩ and |u|.

    Parameters
    ----------
    inner : ⟨u, z_k⟩, outputs along ``dim``
    norm : |u|, with one entry along ``dim``
    length, bias : |z_k| and r_k, in a shape that broadcasts against ``inner``
    """
    bias = None if bias is None else wide(bias)
    out = _FromHyperplanes.apply(wide(inner), wide(norm), wide(length), bias, c, dim)
    return out.to(inner.dtype)


def tangent_add(
    f: Float[Tensor, "*#shape"], g: Float[Tensor, "*#shape"], c: Curvature = 1.0, dim: int = -1
) -> Float[Tensor, ...]:
    """logmap0(expmap0(f) ⊕ expmap0(g)), fused: the residual connection of hyperbolic networks."""
    return _called(_TangentAdd, f, g, c, dim)


def tangent_midpoint(
    t: Float[Tensor, "*shape"],
    c: Curvature = 1.0,
    weights: Float[Tensor, "*#shape"] | None = None,
    dim: int = -1,
    reduce_dim: int | tuple[int, ...] = 0,
) -> Float[Tensor, ...]:
    """logmap0 of the midpoint of expmap0(t): the normalised centroid on the hyperboloid.

    Parameters
    ----------
    weights : ≥ 0, in a shape that broadcasts, with one entry along ``dim``; None weighs all alike
    reduce_dim : what is averaged over; kept with one entry
    """
    dtype, t = t.dtype, wide(t)
    p = _argument(t, c, dim)
    space, time = sinhc(p) * t, p.cosh()  # space without its factor 2√c
    if weights is None:
        space, time = space.mean(reduce_dim, keepdim=True), time.mean(reduce_dim, keepdim=True)
    else:
        share = weights / weights.sum(reduce_dim, keepdim=True)
        space, time = (share * space).sum(reduce_dim, keepdim=True), (share * time).sum(reduce_dim, keepdim=True)
    # a centroid lies inside the hyperboloid: its Lorentz norm is at least 1, whatever the rounding
    inside = (time.square() - 4 * c * square(space, dim)).clamp(min=1)
    w = space * inside.rsqrt()
    return (asinhc((4 * c * square(w, dim)).sqrt()) * w).to(dtype)


def _argument(t: Tensor, c: Curvature, dim: int) -> Tensor:
    """2√c|t|, up to where the square of a product of two cosh still is a number."""
    return (4 * c * square(t, dim)).sqrt().clamp(max=LIMIT[t.dtype] / 2)


def _held(t: Tensor, c: Curvature, dim: int) -> Tensor:
    """Vectors beyond the reach of sinh, from 2√c|t| = 21 in float32 and 170 in float64 on, put back to there."""
    return t * (LIMIT[t.dtype] / 2 / (4 * c * square(t, dim)).sqrt()).clamp(max=1)


def _let_go(gradient: Tensor, t: Tensor, c: Curvature, dim: int) -> Tensor:
    """The gradient by t of what was held: as it is, or shrunk and without its part along t."""
    size = square(t, dim)
    share = (LIMIT[t.dtype] / 2 / (4 * c * size).sqrt()).clamp(max=1)
    return share * (gradient - (share < 1) * dot(gradient, t, dim) / size * t)


class _FromHyperplanes(_Kept):
    """Passes over whole maps are in place where they can be: fresh memory costs more there than arithmetic."""

    @staticmethod
    def forward(inner: Tensor, norm: Tensor, length: Tensor, bias: Tensor | None, c: Curvature, dim: int) -> Tensor:
        s, limit = c**0.5, LIMIT[inner.dtype]
        at = _Heights(norm, length, bias, s)
        h, spare = at.of_(inner), torch.empty_like(inner)
        w = asinh_into(h, torch.empty_like(inner), spare).mul_(2 * length).clamp_(-limit, limit).sinh_()
        size = torch.mul(w, w, out=spare).sum(dim, keepdim=True).add_(TINY[w.dtype]).sqrt_()
        return w.mul_(asinhc(size) / (2 * s))

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # somebody differentiates again
            return differentiable_backward(_output, u, *kept(ctx), ctx.dim)
        inner, norm, length, bias, c = kept(ctx)
        dim, limit, s = ctx.dim, LIMIT[inner.dtype], c**0.5
        at = _Heights(norm, length, bias, s)
        h, spare = at.of_(inner), torch.empty_like(inner)
        angle = asinh_into(h, torch.empty_like(inner), spare)
        w = (2 * length * angle).clamp_(-limit, limit).sinh_()
        grow = torch.mul(w, w, out=spare)
        size = (grow.sum(dim, keepdim=True) + TINY[w.dtype]).sqrt()
        grow.add_(1).sqrt_()  # the cosh that goes with w
        dv = u * w
        scale, along = asinhc(size) / (2 * s), dv.sum(dim, keepdim=True)
        dv = torch.mul(u, scale, out=dv).addcmul_(w, along * asinhc_slope(size) / (2 * s)).mul_(grow)
        v = torch.mul(angle, 2 * length, out=spare)
        torch.ops.aten.hardtanh_backward.grad_input(dv, v, -limit, limit, grad_input=dv)  # 0 where v is clamped
        dlength = reduced(angle.mul_(dv), length) * 2
        dh = dv.mul_(2 * length).div_(torch.mul(h, h, out=spare).add_(1).sqrt_())
        both = torch.mul(dh, inner, out=w)
        dper_row = torch.mul(both, at.per_output, out=spare).sum(dim, keepdim=True)
        dper_output = reduced(both.mul_(at.per_row), length)
        dlength = dlength - dper_output * at.per_output / length
        # by r = 2√c|u|, over r, as both slopes vanish there; what is held goes by its direction alone
        free = below(at.raw, limit / 2)
        draw = dper_row * (2 * s * free * sinhc_slope(at.r) - (1 - free) * at.per_row / at.raw.square())
        dbias, ds = None, dper_row * at.per_row / s - along * scale / s
        if bias is not None:
            draw = draw - torch.mul(dh, at.sinh_b, out=spare).sum(dim, keepdim=True) * free * sinhc(at.r)
            db = dper_output * at.sinh_b / length - at.cosh_b * reduced(torch.mul(dh, at.cosh_r, out=spare), bias)
            dbias = 2 * s * db * below((2 * s * bias).abs(), limit / 2)
        dnorm = 4 * c * norm * draw
        dc = None
        if ctx.needs_input_grad[4]:
            total = (ds + norm * dnorm / s).sum()
            dc = ((total if dbias is None else total + (bias * dbias).sum() / s) / (2 * s)).to(c.dtype)
        return dh.mul_(at.per_row).mul_(at.per_output), dnorm, dlength, dbias, dc, None


class _Heights:
    """sinh of √c times the distance to each hyperplane, from the products ⟨u, z_k⟩ and factors of row and output."""

    def __init__(self, norm: Tensor, length: Tensor, bias: Tensor | None, s: Curvature) -> None:
        most = LIMIT[norm.dtype] / 2
        self.raw = (2 * s * norm).clamp(min=TINY[norm.dtype] ** 0.5)
        self.r = self.raw.clamp(max=most)
        self.per_row, self.per_output = 2 * s * self.r * sinhc(self.r) / self.raw, 1 / length
        self.biased = bias is not None
        if bias is not None:
            b = (2 * s * bias).clamp(-most, most)
            self.cosh_r, self.cosh_b, self.sinh_b = self.r.cosh(), b.cosh(), b.sinh()
            self.per_output = self.cosh_b / length

    def of(self, inner: Tensor) -> Tensor:
        h = inner * self.per_output * self.per_row
        return torch.addcmul(h, self.cosh_r, self.sinh_b, value=-1) if self.biased else h

    def of_(self, inner: Tensor) -> Tensor:
        """The same where nothing is differentiated."""
        h = (inner * self.per_output).mul_(self.per_row)
        return h.addcmul_(self.cosh_r, self.sinh_b, value=-1) if self.biased else h


def _output(inner: Tensor, norm: Tensor, length: Tensor, bias: Tensor | None, c: Curvature, dim: int) -> Tensor:
    """The forward in operations that autograd can differentiate."""
    s, limit = c**0.5, LIMIT[inner.dtype]
    w = (2 * length * asinh(_Heights(norm, length, bias, s).of(inner))).clamp(-limit, limit).sinh()
    return w * (asinhc(square(w, dim).sqrt()) / (2 * s))


class _TangentAdd(_Kept):
    @staticmethod
    def forward(f: Tensor, g: Tensor, c: Curvature, dim: int) -> Tensor:
        w, *_ = _TangentAdd._sum(_held(f, c, dim), _held(g, c, dim), c, dim)
        return asinhc((4 * c * square(w, dim)).sqrt()) * w

    @staticmethod
    def _sum(f: Tensor, g: Tensor, c: Curvature, dim: int) -> tuple[Tensor, ...]:
        p, q, fg = _argument(f, c, dim), _argument(g, c, dim), dot(f, g, dim)
        bend, of_g = 4 * c * coshc(p), sinhc(q)
        of_f = bend * of_g * fg + sinhc(p) * q.cosh()
        return of_g * g + of_f * f, p, q, fg, bend, of_g, of_f

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        given_f, given_g, c = kept(ctx)
        dim, limit = ctx.dim, LIMIT[given_f.dtype] / 2
        f, g = _held(given_f, c, dim), _held(given_g, c, dim)
        w, p, q, fg, bend, of_g, of_f = _TangentAdd._sum(f, g, c, dim)
        w2 = square(w, dim)
        size, along = (4 * c * w2).sqrt(), dot(u, w, dim)
        slope = asinhc_slope(size)
        dw = asinhc(size) * u + 4 * c * along * slope * w
        by_f, by_g = dot(dw, f, dim), dot(dw, g, dim)
        # by p² = 4c|f|² and q² = 4c|g|²
        dp2 = (4 * c * of_g * fg * by_f * coshc_slope(p) + q.cosh() * by_f * sinhc_slope(p)) / 2 * (p < limit)
        dq2 = ((by_g + bend * fg * by_f) * sinhc_slope(q) + sinhc(p) * by_f * of_g) / 2 * (q < limit)
        df = of_f * dw + bend * of_g * by_f * g + 8 * c * dp2 * f
        dg = of_g * dw + bend * of_g * by_f * f + 8 * c * dq2 * g
        dc = None
        if ctx.needs_input_grad[2]:
            dc = 2 * w2 * slope * along + 4 * coshc(p) * of_g * fg * by_f
            dc = reduced(dc + 4 * square(f, dim) * dp2 + 4 * square(g, dim) * dq2, c)
        return reduced(_let_go(df, given_f, c, dim), f), reduced(_let_go(dg, given_g, c, dim), g), dc, None
