"""Layers of the ball written in the tangent space at 0: nothing comes near the rim, so nothing is projected.

Composed as logmap0 ∘ layer ∘ expmap0, a layer loses its digits where tanh saturates, in float32 from a tangent norm of
about 3/√c on. In the coordinates of the hyperboloid the same maps need sinh, cosh and asinh of tangent norms only. The
formulas are derived here and equal the composed ones to rounding (tests); the fully connected layer is that of
Shimizu, Mukuta, Harada, "Hyperbolic Neural Networks++", arXiv 2006.08210.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from surefoot.nn.hyperbolic._series import (
    LIMIT,
    asinhc,
    asinhc_slope,
    coshc,
    coshc_slope,
    curvature,
    dot,
    sinhc,
    sinhc_slope,
    square,
    wide,
)
from surefoot.nn.hyperbolic.operations import Curvature, _called, _Kept, conformal_factor, reduced


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
    c = curvature(c)
    s, length, normal = c.sqrt(), *lengths(weight)
    factor = conformal_factor(x, c)
    inner = s * factor * (x @ normal.T)
    if bias is not None:
        inner = inner * (2 * s * bias).cosh() - (factor - 1) * (2 * s * bias).sinh()
    w = (2 * length * inner.asinh()).sinh() / s
    return w / (1 + (1 + c * w.square().sum(-1, keepdim=True)).sqrt())


def lengths(weight: Float[Tensor, " outputs *inputs"]) -> tuple[Float[Tensor, " outputs"], Float[Tensor, ...]]:
    """|z_k| of each row, and the rows divided by it. A row of zeros still gets a gradient."""
    length = (weight.square().flatten(1).sum(1) + 1e-30).sqrt()
    return length, weight / length.reshape(-1, *[1] * (weight.dim() - 1))


def tangent_linear(
    u: Float[Tensor, "*batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None,
    c: Curvature = 1.0,
) -> Float[Tensor, "*batch outputs"]:
    """logmap0(hyperplane_linear(expmap0(u))), fused. Parameters are those of :func:`hyperplane_linear`."""
    length, normal = lengths(weight)
    return from_hyperplanes(u @ normal.T, square(wide(u), -1).sqrt(), length, bias, c)


def from_hyperplanes(
    inner: Float[Tensor, ...],
    norm: Float[Tensor, ...],
    length: Float[Tensor, ...],
    bias: Float[Tensor, ...] | None,
    c: Curvature = 1.0,
    dim: int = -1,
) -> Float[Tensor, ...]:
    """The output of a fused layer from what it needs of its input: ⟨u, z_k⟩/|z_k| and |u|.

    Parameters
    ----------
    inner : ⟨u, z_k⟩/|z_k|, outputs along ``dim``
    norm : |u|, with one entry along ``dim``
    length, bias : |z_k| and r_k, in a shape that broadcasts against ``inner``
    """
    bias = length.new_zeros(()) if bias is None else bias
    out = _FromHyperplanes.apply(wide(inner), wide(norm), wide(length), wide(bias), curvature(c), dim)
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
    c, dtype, t = curvature(c), t.dtype, wide(t)
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


def _argument(t: Tensor, c: Tensor, dim: int) -> Tensor:
    """2√c|t|, up to where the square of a product of two cosh still is a number."""
    return (4 * c * square(t, dim)).sqrt().clamp(max=LIMIT[t.dtype] / 2)


def _held(t: Tensor, c: Tensor, dim: int) -> Tensor:
    """Vectors beyond the reach of sinh, from 2√c|t| = 21 in float32 and 170 in float64 on, put back to there."""
    return t * (LIMIT[t.dtype] / 2 / (4 * c * square(t, dim)).sqrt()).clamp(max=1)


def _let_go(gradient: Tensor, t: Tensor, c: Tensor, dim: int) -> Tensor:
    """The gradient by t of what was held: as it is, or shrunk and without its part along t."""
    size = square(t, dim)
    share = (LIMIT[t.dtype] / 2 / (4 * c * size).sqrt()).clamp(max=1)
    return share * (gradient - (share < 1) * dot(gradient, t, dim) / size * t)


class _FromHyperplanes(_Kept):
    @staticmethod
    def forward(inner: Tensor, norm: Tensor, length: Tensor, bias: Tensor, c: Tensor, dim: int) -> Tensor:
        s = c.sqrt()
        w = _FromHyperplanes._heights(inner, norm, length, bias, s)[2].sinh()
        return asinhc(square(w, dim).sqrt()) / (2 * s) * w

    @staticmethod
    def _heights(inner: Tensor, norm: Tensor, length: Tensor, bias: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        limit = LIMIT[inner.dtype]
        r, b = (2 * s * norm).clamp(max=limit), (2 * s * bias).clamp(-limit, limit)
        h = 2 * s * sinhc(r) * inner * b.cosh() - r.cosh() * b.sinh()
        top = float(LIMIT_HEIGHT[inner.dtype])
        h = h.clamp(-top, top)
        return r, h, (2 * length * h.asinh()).clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        inner, norm, length, bias, c = ctx.saved_tensors
        dim, limit, s = ctx.dim, LIMIT[inner.dtype], c.sqrt()
        r, h, v = _FromHyperplanes._heights(inner, norm, length, bias, s)
        w = v.sinh()
        size = square(w, dim).sqrt()
        scale, along = asinhc(size) / (2 * s), dot(u, w, dim)
        dv = (scale * u + along * asinhc_slope(size) / (2 * s) * w) * v.cosh() * (v.abs() < limit)
        dh = 2 * length * dv * (1 + h.square()).rsqrt() * (h.abs() < LIMIT_HEIGHT[inner.dtype])
        cosh_b, sinh_b = (2 * s * bias).clamp(-limit, limit).cosh(), (2 * s * bias).clamp(-limit, limit).sinh()
        cosh_r, shape = r.cosh(), 2 * s * sinhc(r)
        dq = cosh_b * dh
        # by r = 2√c|u|, over r, as both slopes vanish there
        dr = (2 * s * sinhc_slope(r) * dot(inner, dq, dim) - sinhc(r) * (sinh_b * dh).sum(dim, keepdim=True)) * (
            r < limit
        )
        db = shape * inner * sinh_b * dh - cosh_r * cosh_b * dh
        dnorm = 4 * c * norm * dr
        ds = None
        if ctx.needs_input_grad[4]:
            by_s = 2 * (sinhc(r) * dot(inner, dq, dim) + 2 * r * norm * dr / 2) - along * scale / s
            ds = reduced((by_s + (2 * bias * db).sum(dim, keepdim=True)) / (2 * s), c)
        return (
            shape * dq,
            reduced(dnorm, norm),
            reduced(2 * h.asinh() * dv, length),
            reduced(2 * s * db, bias),
            ds,
            None,
        )


LIMIT_HEIGHT = {dtype: 10.0 ** (18 if limit < 100 else 147) for dtype, limit in LIMIT.items()}


class _TangentAdd(_Kept):
    @staticmethod
    def forward(f: Tensor, g: Tensor, c: Tensor, dim: int) -> Tensor:
        w, *_ = _TangentAdd._sum(_held(f, c, dim), _held(g, c, dim), c, dim)
        return asinhc((4 * c * square(w, dim)).sqrt()) * w

    @staticmethod
    def _sum(f: Tensor, g: Tensor, c: Tensor, dim: int) -> tuple[Tensor, ...]:
        p, q, fg = _argument(f, c, dim), _argument(g, c, dim), dot(f, g, dim)
        bend, of_g = 4 * c * coshc(p), sinhc(q)
        of_f = bend * of_g * fg + sinhc(p) * q.cosh()
        return of_g * g + of_f * f, p, q, fg, bend, of_g, of_f

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        given_f, given_g, c = ctx.saved_tensors
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
