"""How signal, gradient, fluctuations over networks and tangent kernel change from layer to layer.

Source: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", Cambridge University Press 2022,
arXiv 2106.10165, chapters 3 to 5 (kernel), 4 (finite width), 8 and 9 (tangent kernel), appendix B (skips).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.init.activations import Activation, as_function
from surefoot.init.criticality import check_gamma
from surefoot.init.moments import coarse_nodes, gaussian_moments
from surefoot.init.skips import Modes, next_modes


@dataclass(frozen=True)
class KernelFlow:
    """Layer by layer, from the first preactivations on; each of shape (depth,).

    Attributes
    ----------
    K : variance of a preactivation at infinite width
    chi_par, chi_perp : susceptibilities from this layer to the next
    V : four-point vertex; E[z_i² z_j²] − E[z_i²] E[z_j²] = V / width of the layer before
    G1 : first correction of the variance at finite width, E[z²] = K + G1 / width of the layer before
    theta : neural tangent kernel of the preactivations
    """

    K: Float[np.ndarray, " depth"]
    chi_par: Float[np.ndarray, " depth"]
    chi_perp: Float[np.ndarray, " depth"]
    V: Float[np.ndarray, " depth"]
    G1: Float[np.ndarray, " depth"]
    theta: Float[np.ndarray, " depth"]


def kernel_flow(
    act: Activation,
    C_b: float,
    C_W: float,
    depth: int,
    K1: float,
    gamma: float = 0.0,
    width: Sequence[int] | None = None,
    *,
    lambda_b: float | Sequence[float] = 1.0,
    lambda_W: float | Sequence[float] = 1.0,
    mean_square: float = 1.0,
    derivative: Callable[[Tensor], Tensor] | None = None,
) -> KernelFlow:
    """Predict how signal, gradient, fluctuations and tangent kernel change with depth.

    Parameters
    ----------
    act, derivative : as for :func:`critical_point`
    C_b, C_W : variance of a bias, and of a weight times its fan-in, from the second layer on
    depth : number of layers, 1 or more
    K1 : variance of the first preactivations
    gamma : factor of the skip connection; ``V`` and ``G1`` then are those of :mod:`surefoot.init.skips`, which for an
        activation that is not odd are larger than the book's
    width : of each layer, where they differ; ``V`` and ``G1`` depend on their ratios alone
    lambda_b, lambda_W : a step of gradient descent changes b by η·λ_b and W by η·λ_W/fan_in times the gradient;
        numbers, or one a layer
    mean_square : of the inputs' entries, for the tangent kernel of the first layer

    Raises
    ------
    ValueError
        If a number is out of its range, or a sequence has not ``depth`` entries.

    Source: arXiv 2106.10165, chapters 3 to 5, 8 and 9, appendix B.
    """
    if depth < 1 or not K1 > 0 or not (C_W > 0 and C_b >= 0):
        given = f"{depth}, {K1}, {C_W}, {C_b}"
        raise ValueError(f"depth, K1, C_W, C_b: got {given}; use depth ≥ 1, K1 > 0, C_W > 0, C_b ≥ 0")
    check_gamma(gamma)
    ratios = np.ones(depth)
    if width is not None:
        sizes = np.asarray(_each(width, depth, "width"), dtype=np.float64)
        ratios[1:] = sizes[1:] / sizes[:-1]
        if gamma and (ratios != 1).any():
            raise ValueError(f"width: got {list(width)}; layers with a skip connection are of one width")
    step_b, step_W = _each(lambda_b, depth, "lambda_b"), _each(lambda_W, depth, "lambda_W")
    skip = gamma**2
    K, V, G1, modes = float(K1), 0.0, 0.0, Modes()
    theta = step_b[0] + step_W[0] * mean_square
    rows = []
    for layer in range(depth):
        m = gaussian_moments(act, K, derivative)
        grows, g = C_W * float(m.radial), float(m.square)
        chi_par, chi_perp = grows + skip, C_W * float(m.slope_square) + skip
        rows.append((K, chi_par, chi_perp, V, G1, theta))
        if layer + 1 == depth:
            break
        ratio = ratios[layer]
        theta = step_b[layer + 1] + step_W[layer + 1] * g + chi_perp * theta
        K_next = C_b + C_W * g + skip * K
        if gamma:
            modes = next_modes(modes, act, K, K_next, C_W, gamma)
            V, G1 = modes.vertex(K_next), modes.correction(K_next)
        else:
            G1 = ratio * (chi_par * G1 + C_W / 8 * V / K**4 * float(m.hermite))
            V = C_W**2 * (float(m.fourth) - g**2) + ratio * chi_par**2 * V
        K = K_next
    return KernelFlow(*(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)))


def pair_kernel(
    act: Activation, covariance: Float[np.ndarray, "2 2"], C_b: float, C_W: float
) -> Float[np.ndarray, "2 2"]:
    """One layer for two inputs: covariance of their preactivations → C_b + C_W ⟨σ_a σ_b⟩ (equation of chapter 4.2).

    Raises
    ------
    ValueError
        If the covariance is none, or singular.
    """
    covariance = np.asarray(covariance, dtype=np.float64)
    sizes = np.sqrt(np.diagonal(covariance))
    if covariance.shape != (2, 2) or not (sizes > 0).all() or not abs(covariance[0, 1]) < sizes[0] * sizes[1]:
        raise ValueError(f"covariance: got {covariance.tolist()}; use a positive definite 2×2 matrix")
    rho = covariance[0, 1] / (sizes[0] * sizes[1])
    function = as_function(act)
    t, weights = coarse_nodes()
    rest = math.sqrt(1 - rho**2)
    with torch.no_grad():
        first = function(sizes[0] * t).double()
        if rest > 0.1:
            # Both variables on panels that meet at 0, where kinks are; the joint density is the weight.
            second = function(sizes[1] * t).double()
            exponent = rho**2 * (t[:, None] ** 2 + t**2) - 2 * rho * t[:, None] * t
            density = torch.exp(-exponent / (2 * rest**2)) / rest
            mixed = float((weights * first) @ density @ (weights * second))
        else:
            z = rho * t[:, None] + rest * t
            second = function((sizes[1] * z).reshape(-1)).double().reshape(z.shape)
            mixed = float((weights * first) @ (second @ weights))
    own = gaussian_moments(act, sizes**2).square
    return C_b + C_W * np.array([[own[0], mixed], [mixed, own[1]]])


def _each(values: float | Sequence[float], depth: int, name: str) -> list[float]:
    if isinstance(values, int | float):
        return [float(values)] * depth
    if len(values) != depth:
        raise ValueError(f"{name}: got {len(values)} numbers; use one for each of the {depth} layers")
    return [float(v) for v in values]
