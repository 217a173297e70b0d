"""Critical points of deep networks: the variances of weights and biases at which signal and gradient keep their size.

Layers z' = b + W σ(z) with E[b²] = C_b and E[W²] = C_W / fan_in. At infinite width the variance of the preactivations
follows K' = C_b + C_W ⟨σ²⟩_K; a change of the input's norm is multiplied by χ_∥ = C_W d⟨σ²⟩/dK, and the difference of
two near inputs, and the squared gradient, by χ_⊥ = C_W ⟨σ'²⟩. A network is critical where K stays and both are 1.

Source: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", Cambridge University Press 2022,
arXiv 2106.10165, chapters 3 to 5 (kernel and criticality), 4 (finite width), 8 and 9 (tangent kernel), appendix B
(residual connections).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from surefoot.init.activations import Activation, as_function
from surefoot.init.moments import gaussian_moments
from surefoot.init.skips import mixed_growth

Kind = Literal["scale_invariant", "k_star_zero", "half_stable", "none"]
Side = Literal["both", "above", "below"]
_GRID = np.logspace(-4, 4, 161)
_SAME = 1e-9  # relative, where the quadrature is good to 1e-13
_NEAR = 3e-3  # farther away the third order decides: GELU has a second fixed point 12 % below, SiLU one 2 % above
_TINY = 1e-12  # distance from 0 at which one-sided slopes are taken


@dataclass(frozen=True)
class CriticalPoint:
    """Where an activation's networks are critical.

    Attributes
    ----------
    kind : universality class. ``"scale_invariant"``: every K is kept. ``"k_star_zero"``: K falls to 0 as a power of
        depth. ``"half_stable"``: a fixed point K* > 0, stable from one side. ``"none"``: there is no critical point,
        and all numbers are NaN
    C_b, C_W : variance of a bias, and of a weight times its fan-in
    K_star : the fixed point; NaN where every K is one
    nu : growth per layer, times width, of the relative variance of a squared preactivation over networks; with a skip
        connection more than the book's where the activation is not odd, see :mod:`surefoot.init.skips`
    a1 : of K' = K + a1 K² + … near 0 (class ``k_star_zero``); NaN at a kink, and where K falls faster or slower
    p_perp : χ_⊥ → 1 − p_perp/depth (class ``k_star_zero``)
    side : from where the fixed point attracts K
    gamma : factor of the skip connection
    """

    kind: Kind
    C_b: float = math.nan
    C_W: float = math.nan
    K_star: float = math.nan
    nu: float = math.nan
    a1: float = math.nan
    p_perp: float = math.nan
    side: Side | None = None
    gamma: float = 0.0


def critical_point(
    act: Activation, gamma: float = 0.0, derivative: Callable[[Tensor], Tensor] | None = None
) -> CriticalPoint:
    """Find the critical point of an activation.

    Parameters
    ----------
    act : a name such as ``"gelu"``, a module, or a function that acts on each entry of a float64 tensor
    gamma : of the residual layer z' = b + W σ(z) + γ z; 0 is a plain layer. At γ = 1 only W = 0 is critical
    derivative : σ'; by default by automatic differentiation

    Raises
    ------
    ValueError
        If ``gamma`` is not in [0, 1), or the activation gives NaN or infinity somewhere (the message names K).
    """
    check_gamma(gamma)
    named = isinstance(act, str) and derivative is None
    return _with_skip(_named_point(act) if named else _plain_point(act, derivative), act, gamma)


@cache
def _named_point(act: str) -> CriticalPoint:
    return _plain_point(act, None)


def _plain_point(act: Activation, derivative: Callable[[Tensor], Tensor] | None) -> CriticalPoint:
    grid = gaussian_moments(act, _GRID, derivative)
    difference = grid.radial - grid.slope_square
    # What is linear on each side of 0 up to some |z|, as relu6 is, has none but rounding errors at small K.
    difference[np.abs(difference) <= _SAME * grid.slope_square] = 0.0
    if not difference.any() and grid.slope_square.min() > 0:
        return _scale_invariant(act)
    return _fixed_point(act, difference, derivative) or _at_zero(act) or CriticalPoint("none")


def _fixed_point(
    act: Activation, difference: np.ndarray, derivative: Callable[[Tensor], Tensor] | None
) -> CriticalPoint | None:
    """A root K* > 0 of χ_∥/C_W − χ_⊥/C_W with C_b ≥ 0: the smallest."""
    known = np.flatnonzero(difference)
    for i, j in pairwise(known):
        if difference[i] * difference[j] > 0:
            continue
        K = _root(lambda k: _imbalance(act, k, derivative), _GRID[i], _GRID[j])
        m = gaussian_moments(act, K, derivative)
        C_W = 1 / float(m.slope_square)
        C_b = K - C_W * float(m.square)
        if C_b >= -1e-12 * K and math.isfinite(C_W):
            nu = C_W**2 * (float(m.fourth) - float(m.square) ** 2) / K**2
            return CriticalPoint("half_stable", max(C_b, 0.0), C_W, K, nu, side=_side(act, K, C_W, derivative))
    return None


def _imbalance(act: Activation, K: float, derivative: Callable[[Tensor], Tensor] | None) -> float:
    m = gaussian_moments(act, K, derivative)
    return float(m.radial - m.slope_square)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Bisection in log K: to the last digits, and safe."""
    at_low = function(low)
    for _ in range(60):
        middle = math.sqrt(low * high)
        if not low < middle < high:
            break
        value = function(middle)
        if value == 0:
            return middle
        if (value > 0) == (at_low > 0):
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _side(act: Activation, K: float, C_W: float, derivative: Callable[[Tensor], Tensor] | None) -> Side:
    """From which side K* attracts: by the slope of χ_∥ there, which is 1 at K* itself."""
    below, above = C_W * gaussian_moments(act, np.array([1 - _NEAR, 1 + _NEAR]) * K, derivative).radial
    return "above" if above < below else "below"


def _scale_invariant(act: Activation) -> CriticalPoint:
    """σ is linear on each side of 0: C_W = 1/A₂ with A₂ the mean squared slope (section 5.2)."""
    up, down = _one_sided(act, 1)
    second, fourth = (up**2 + down**2) / 2, (up**4 + down**4) / 2
    return CriticalPoint("scale_invariant", 0.0, 1 / second, nu=3 * fourth / second**2 - 1, side="both")


def _at_zero(act: Activation) -> CriticalPoint | None:
    """K* = 0, where σ(0) = 0 and the slope is not (section 5.3.3; at a kink one-sided slopes take its place)."""
    at_zero = float(as_function(act)(torch.zeros(1, dtype=torch.float64)).detach())
    slopes = [_one_sided(act, order) for order in (1, 2, 3)]
    (up, down) = slopes[0]
    second = (up**2 + down**2) / 2
    if abs(at_zero) > 1e-12 or not (math.isfinite(second) and second > 1e-12):
        return None
    C_W = 1 / second
    small = np.array([1e-3, 1e-2])
    if (C_W * gaussian_moments(act, small).square > small * (1 + _SAME)).any():
        return None  # K grows away from 0
    smooth = all(abs(u - d) <= 1e-4 * max(1.0, abs(u), abs(d)) for u, d in slopes)
    s1, s2, s3 = (u / 2 + d / 2 for u, d in slopes)
    a1 = s3 / s1 + 0.75 * (s2 / s1) ** 2 if smooth else 0.0
    if not a1:  # kinked, or linear near 0, as hardtanh is: the decay is no power law of this kind
        return CriticalPoint("k_star_zero", 0.0, C_W, 0.0, side="above")
    b1 = s3 / s1 + (s2 / s1) ** 2
    return CriticalPoint("k_star_zero", 0.0, C_W, 0.0, 2 / 3, a1, b1 / a1, "above")


def _one_sided(act: Activation, order: int) -> tuple[float, float]:
    """The ``order``-th derivative right above and right below 0; NaN where the activation can't be differentiated so
    often.
    """
    function = as_function(act)
    with torch.enable_grad():
        z = torch.tensor([_TINY, -_TINY], dtype=torch.float64, requires_grad=True)
        value = function(z)
        for _ in range(order):
            if not value.requires_grad:
                return 0.0, 0.0
            try:
                (value,) = torch.autograd.grad(value.sum(), z, create_graph=True)
            except RuntimeError:
                return math.nan, math.nan
    up, down = (float(v) for v in value.detach())
    return up, down


def _with_skip(point: CriticalPoint, act: Activation, gamma: float) -> CriticalPoint:
    """The point of the residual layer: same K*, variances times 1 − γ² (appendix B; ν with what it lacks)."""
    if point.kind == "none" or gamma == 0:
        return CriticalPoint(**{**point.__dict__, "gamma": gamma})
    skip = gamma**2
    if point.kind == "k_star_zero":
        nu = point.nu * (1 - skip**2)
    else:
        K = point.K_star if point.kind == "half_stable" else 1.0
        nu = (1 - skip) * ((1 - skip) * point.nu + 4 * skip) + mixed_growth(act, K, (1 - skip) * point.C_W, gamma)
    changed = {"C_b": (1 - skip) * point.C_b, "C_W": (1 - skip) * point.C_W, "nu": nu, "gamma": gamma}
    return CriticalPoint(**{**point.__dict__, **changed})


def check_gamma(gamma: float) -> None:
    """Raise ValueError for a skip factor that has no critical point."""
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma: got {gamma}; use a number in [0, 1); at 1 only W = 0 is critical")
