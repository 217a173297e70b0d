"""Gaussian averages ⟨f(z)⟩_K, z ~ N(0, K), of an activation and its slope: what signal propagation is made of.

Nodes are those of Gauss and Legendre on panels of t = z/√K that shrink towards 0: a kink of the activation there falls
between two panels, and what it does near 0 is resolved for variances up to 10⁴. Smooth activations and kinks at 0 are
integrated to about 10⁻¹³ of the value; a kink elsewhere leaves some 10⁻⁵.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.init.activations import Activation, as_function, name_of

_REACH = 12.0  # standard deviations; beyond, the density is 10⁻³²
_NODES, _PANEL, _GRADED = 20, 0.25, 24


@dataclass(frozen=True)
class GaussianMoments:
    """Averages over z ~ N(0, K), each of K's shape.

    Attributes
    ----------
    square : ⟨σ²⟩
    fourth : ⟨σ⁴⟩
    slope_square : ⟨σ'²⟩
    radial : ⟨z σ σ'⟩ / K, which is d⟨σ²⟩/dK
    hermite : ⟨σ² (z⁴ − 6Kz² + 3K²)⟩
    """

    square: Float[np.ndarray, ...]
    fourth: Float[np.ndarray, ...]
    slope_square: Float[np.ndarray, ...]
    radial: Float[np.ndarray, ...]
    hermite: Float[np.ndarray, ...]


def gaussian_moments(
    act: Activation,
    K: float | Float[np.ndarray, ...],
    derivative: Callable[[Tensor], Tensor] | None = None,
) -> GaussianMoments:
    """The averages that kernel, susceptibilities and their corrections at finite width need.

    Parameters
    ----------
    act : a name such as ``"gelu"``, a module, or a function that acts on each entry of a float64 tensor
    K : variances, positive
    derivative : σ' as a function; by default by automatic differentiation

    Raises
    ------
    ValueError
        If a variance is not positive, or the activation gives NaN or infinity; the message names the variance.
    """
    variances = np.asarray(K, dtype=np.float64)
    if not (np.isfinite(variances).all() and (variances > 0).all()):
        raise ValueError(f"K: got {K}; variances are positive numbers")
    t, weights = nodes()
    k = torch.from_numpy(variances.reshape(-1, 1).copy())
    value, slope = _evaluate(act, k.sqrt() * t, derivative)
    mixed = value * slope
    if not bool(torch.isfinite(mixed).all()):
        first = int((~torch.isfinite(mixed)).any(dim=1).nonzero()[0])
        raise ValueError(
            f"act: {name_of(act)} or its slope is NaN or infinite at K = {variances.reshape(-1)[first]:.6g}"
        )
    square = value.square()
    by_radius, by_hermite = _weighted()

    def average(values: Tensor, weights: Tensor = weights) -> np.ndarray:
        return (values @ weights).numpy().reshape(variances.shape)

    return GaussianMoments(
        square=average(square),
        fourth=average(square.square()),
        slope_square=average(slope.square()),
        radial=average(mixed, by_radius) / np.sqrt(variances),
        hermite=average(square, by_hermite) * variances**2,
    )


def _evaluate(act: Activation, z: Tensor, derivative: Callable[[Tensor], Tensor] | None) -> tuple[Tensor, Tensor]:
    function = as_function(act)
    if derivative is not None:
        with torch.no_grad():
            return function(z).double(), derivative(z).double()
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = function(z)
        if not isinstance(value, Tensor) or value.shape != z.shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"act: {name_of(act)} turns {tuple(z.shape)} into {got}; it must act on each entry")
        slope = torch.zeros_like(z)
        if value.requires_grad:
            (slope,) = torch.autograd.grad(value.sum(), z)
    return value.detach().double(), slope.detach()


@cache
def nodes() -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    """Nodes t and weights of ∫ f(t) φ(t) dt, with φ the standard normal density; float64."""
    edges = np.concatenate([[0.0], _PANEL * 2.0 ** np.arange(-_GRADED, 0), np.arange(_PANEL, _REACH + 1e-9, _PANEL)])
    return _on_panels(np.concatenate([-edges[:0:-1], edges]), _NODES)


@cache
def _weighted() -> tuple[Tensor, Tensor]:
    """Weights times t, and times t⁴ − 6t² + 3."""
    t, weights = nodes()
    return weights * t, weights * (t**4 - 6 * t**2 + 3)


@cache
def coarse_nodes() -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    """Fewer nodes, for integrals over two variables."""
    edges = np.concatenate([[0.0], 0.5 * 2.0 ** np.arange(-6, 0), np.arange(0.5, 9.1, 0.5)])
    return _on_panels(np.concatenate([-edges[:0:-1], edges]), 12)


def _on_panels(edges: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    x, w = np.polynomial.legendre.leggauss(count)
    half = np.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half * (x + 1)).ravel()
    weights = (half * w).ravel() * np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(t), torch.from_numpy(weights / weights.sum())
