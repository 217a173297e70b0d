"""A cloud of tangent vectors at 0 moved and stretched on the ball, in few passes over it.

On the hyperboloid, where a point is cosh and sinh of a tangent vector, logarithm, parallel transport and exponential
are sums: with d from mean to x, T = cosh d and T' = cosh of the distance from bias to x,

    exp_bias(k · transport(log_mean x)) = cosh(kd) bias + sinh(kd)/sinh(d) · (x + (g − T) mean + g bias),

where g = (T cosh d' − T')/(1 + cosh d') for d' between mean and bias. So what batch normalisation does to a vector is
a·x + q₁·bias + q₂·mean, with numbers that need |x|², ⟨x, bias⟩ and ⟨x, mean⟩ only: the cloud is read thrice and written
once, and all between is as small as one channel. Derived here; equal to the composed operations to rounding (tests).

Clouds are ``[batch, channels, places]``, κ is 2√c, and E is ``[channels, 2]`` with bias and mean as columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surefoot.nn.hyperbolic._series import LIMIT, TINY, asinhc, gap_squared, sinhc
from surefoot.nn.hyperbolic.operations import Curvature


class Cloud:
    """Tangent vectors and their places on the hyperboloid."""

    def __init__(self, x: Tensor, c: Curvature) -> None:
        self.c, self.kappa2, self.most, self.tiny = c, 4 * c, LIMIT[x.dtype] / 2, TINY[x.dtype]
        self.x, size2 = _Size.apply(x)
        self.size = (self.kappa2 * size2).sqrt()
        self.held = self.size.clamp(max=self.most)
        self.share = self.held / self.size  # below 1 for vectors beyond the reach of sinh, which are put back to there
        self.space, self.time = self._lifted(self.held)  # space over κ and x
        self.space = self.space * self.share

    def _lifted(self, size: Tensor) -> tuple[Tensor, Tensor]:
        space = sinhc(size)
        return space, (1 + (size * space).square()).sqrt()

    def centroid(self) -> Tensor:
        """The midpoint, a tangent vector ``[channels]``: see :func:`tangent_midpoint`."""
        self.x, total = _Weighted.apply(self.x, self.space)
        space, time = total / self.space.numel(), self.time.mean()
        # a centroid lies inside the hyperboloid: its Lorentz norm is at least 1, whatever the rounding
        inside = (time.square() - self.kappa2 * (space.square().sum() + self.tiny)).clamp(min=1)
        w = space * inside.rsqrt()
        return asinhc((self.kappa2 * (w.square().sum() + self.tiny)).sqrt()) * w

    def seen_from(self, mean: Tensor, bias: Tensor) -> Tensor:
        """Mean squared distance from the mean; ``moved`` goes on from here."""
        self.both = torch.stack([bias, mean], 1)
        sizes = (self.kappa2 * (self.both.square().sum(0) + self.tiny)).sqrt().clamp(max=self.most)
        space, time = self._lifted(sizes)
        self.x, along, apart2 = _Read.apply(self.x, self.both)
        self.both_space, self.bias_time, self.slope = space[:, None], time[0], space[0] / time[0]
        self.along = (self.kappa2 * self.space) * along
        # −⟨x, bias⟩ and −⟨x, mean⟩ on the hyperboloid
        self.product = self.time * time[:, None] - self.both_space * self.along
        self.between = time.prod() - self.kappa2 * space.prod() * (bias * mean).sum()
        # sinh² of half the distance. From the product it would lose twice the digits that the vectors have in common
        # with their mean; the product serves for the derivative
        with torch.no_grad():
            radial = (self.held.square() - sizes[1].square()) / (self.held + sizes[1])
            apart2 = self.share * self.kappa2 * apart2 + (1 - self.share) * (
                sizes[1].square() - self.share * self.size.square()
            )
            round2 = (apart2 - radial.square()).clamp(min=0) / self.share
            half = (radial / 2).sinh().square() + self.space * space[1] * round2 / 4
        product = self.product[:, 1:]
        self.distance2 = gap_squared(half + (product - product.detach()) / 2)
        return self.distance2.mean() / self.c

    def moved(self, stretch: Tensor) -> Tensor:
        """The cloud with the bias for its mean, and distances from there ``stretch`` times as large."""
        distance = (self.distance2 + self.tiny).sqrt()
        stretch = torch.minimum(stretch, self.most / distance)
        far = stretch * distance
        height, time = self._lifted(far)
        ratio = stretch * height / sinhc(distance)
        to_bias, to_mean = self.product[:, :1], self.product[:, 1:]
        turn = (to_mean * self.between - to_bias) / (1 + self.between)
        shares = ratio * torch.cat([turn, turn - to_mean], 1)
        # how far the transported vector rises follows from its being tangent at bias; summed up, it would cancel
        on_bias = self.both_space * (self.kappa2 * (self.both.mT @ self.both[:, :1]))
        rise = time * self.bias_time + self.slope * (
            ratio * self.along[:, :1] + (shares * on_bias).sum(1, keepdim=True)
        )
        back = asinhc(((rise - 1) * (rise + 1)).clamp(min=0).add(self.tiny).sqrt())
        shares = shares + torch.cat([time, torch.zeros_like(time)], 1)
        return _Write.apply(self.x, self.both, back * ratio * self.space, back * self.both_space * shares)


def _plus(u: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """u + left @ right. Nobody else holds u, the gradient of a tensor that stays inside this file."""
    left = left.expand(len(u), -1, -1)
    return torch.baddbmm(u, left, right) if torch.is_grad_enabled() else u.baddbmm_(left, right)


class _Kept(torch.autograd.Function):
    """Each hands x on, so that gradients are added to one after the other in place."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)


class _Size(_Kept):
    """|x|²."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.view_as(x), x.square().sum(1, keepdim=True).add_(TINY[x.dtype])

    @staticmethod
    def backward(ctx: Any, u: Tensor, u_size2: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.addcmul(u, x, 2 * u_size2) if torch.is_grad_enabled() else u.addcmul_(x, 2 * u_size2)


class _Weighted(_Kept):
    """Σ w x."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return x.view_as(x), torch.bmm(x, weight.mT).sum(0).squeeze(1)

    @staticmethod
    def backward(ctx: Any, u: Tensor, u_total: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return _plus(u, u_total[None, :, None], weight), torch.bmm(u_total.expand(len(x), 1, -1), x)


class _Read(_Kept):
    """Eᵀx, and |x − mean|², which is not differentiated."""

    @staticmethod
    def forward(x: Tensor, both: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        apart2 = (x - both[:, 1:]).square_().sum(1, keepdim=True)
        return x.view_as(x), torch.bmm(both.mT.expand(len(x), 2, -1), x), apart2

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.mark_non_differentiable(output[2])

    @staticmethod
    def backward(ctx: Any, u: Tensor, u_along: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        x, both = ctx.saved_tensors
        return _plus(u, both[None], u_along), torch.bmm(x, u_along.mT).sum(0)


class _Write(_Kept):
    """a·x + E q."""

    @staticmethod
    def forward(x: Tensor, both: Tensor, own: Tensor, shares: Tensor) -> Tensor:
        return (own * x).baddbmm_(both.expand(len(x), -1, 2), shares)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, ...]:
        x, both, own, shares = ctx.saved_tensors
        along = torch.bmm(both.mT.expand(len(x), 2, -1), u)
        return own * u, torch.bmm(u, shares.mT).sum(0), (u * x).sum(1, keepdim=True), along
