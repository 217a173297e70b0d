"""Batch normalisation of the ball, by a midpoint in closed form or the Fréchet mean."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.hyperbolic._cloud import Cloud
from surefoot.nn.hyperbolic._series import wide
from surefoot.nn.hyperbolic.ball import PoincareBall
from surefoot.nn.hyperbolic.means import frechet_mean
from surefoot.nn.hyperbolic.operations import Curvature, logmap0
from surefoot.nn.hyperbolic.tangent import tangent_midpoint


class PoincareBatchNorm(nn.Module):
    """Centres a cloud of channel vectors at a learned point and gives it a learned mean squared distance from there.

    Parameters
    ----------
    num_features : size of the vectors, which lie along dim 1; all other dims are points of the cloud
    ball : the ball, shared with the other layers
    mean : ``"midpoint"`` in closed form, or ``"frechet"`` by iteration
    track_running_stats : evaluation uses the centre and variance seen in training; else those of the batch
    eps, momentum : as in :class:`torch.nn.BatchNorm1d`

    Attributes
    ----------
    weight : the variance γ aimed at, one number, 1 at first
    bias : the centre aimed at, a tangent vector at 0
    running_mean : a tangent vector at 0, moved along geodesics (midpoint of old and new with weights)

    Raises
    ------
    ValueError
        For an unknown ``mean``, an input of other channels, or a training batch of one point.

    Notes
    -----
    expmap_β(k · transport_{μ→β}(logmap_μ x)) = β ⊕ expmap0(k · gyr[β, −μ] logmap0(−μ ⊕ x)), as transport is gyr with a
    ratio of λ that cancels: so all is done in the tangent space at 0, and nothing is projected.

    Source: arXiv 2303.14027, section on batch normalisation.
    """

    def __init__(
        self,
        num_features: int,
        ball: PoincareBall,
        mean: Literal["midpoint", "frechet"] = "midpoint",
        track_running_stats: bool = True,
        eps: float = 1e-6,
        momentum: float = 0.1,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if mean not in ("midpoint", "frechet"):
            raise ValueError(f"mean: got {mean!r}; use 'midpoint' or 'frechet'")
        self.num_features, self.mean, self.eps, self.momentum = num_features, mean, eps, momentum
        self.track_running_stats = track_running_stats
        self.ball = ball
        self.weight = nn.Parameter(torch.ones((), device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))
        self.running_mean: Tensor | None
        self.running_var: Tensor | None
        for name, shape in (("running_mean", (num_features,)), ("running_var", ())):
            fill = torch.zeros if name == "running_mean" else torch.ones
            self.register_buffer(name, fill(shape, device=device, dtype=dtype) if track_running_stats else None)

    def extra_repr(self) -> str:
        return f"{self.num_features}, mean={self.mean!r}, track_running_stats={self.track_running_stats}"

    def forward(self, x: Float[Tensor, "batch channels *places"]) -> Float[Tensor, "batch channels *places"]:
        if x.dim() < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"x: got shape {tuple(x.shape)}; use (batch, {self.num_features}, …)")
        if self.training and x.numel() == x.shape[1]:
            raise ValueError("x: it has one vector only; training needs at least two to have a variance")
        c, points = self.ball.c, wide(x)
        points = points.flatten(2) if x.dim() > 2 else points.mT[None]
        seen = not self.training and self.running_mean is not None and self.running_var is not None
        cloud = Cloud(points, c)
        if seen:
            mean = self.running_mean
        elif self.mean == "midpoint":
            mean = cloud.centroid()
        else:
            mean = logmap0(frechet_mean(self.ball.expmap0(points, 1), c, 1, (0, 2)), c)
        assert mean is not None
        var = cloud.seen_from(mean.to(points.dtype), wide(self.bias))
        if self.training and self.running_mean is not None:
            self._remember(mean.detach(), var.detach(), c)
        kept = self.running_var if seen else var
        assert kept is not None
        out = cloud.moved((wide(self.weight).clamp(min=0) / (kept + self.eps)).sqrt())
        return (out.reshape(x.shape) if x.dim() > 2 else out[0].mT).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor, c: Curvature) -> None:
        assert self.running_mean is not None and self.running_var is not None
        old = self.running_mean
        both, share = torch.stack([old, mean.to(old.dtype)]), old.new_tensor([1 - self.momentum, self.momentum])
        old.copy_(tangent_midpoint(both, c, share[:, None]).squeeze(0))
        self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)


class PoincareBatchNorm2d(PoincareBatchNorm):
    """:class:`PoincareBatchNorm` of images: a channel vector a pixel."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        if x.dim() != 4:
            raise ValueError(f"x: got shape {tuple(x.shape)}; use (batch, channels, height, width)")
        return super().forward(x)
