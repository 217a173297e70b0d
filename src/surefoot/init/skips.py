"""Fluctuations over networks with a skip connection: what the book's recursion lacks where σ is not odd.

A unit of z' = b + W σ(z) + γ z keeps a part γ z_i of its own past, and all units of a layer share the variance
s = C_b + C_W/n Σ σ(z_k)² of their new part. So the square of one unit comes to depend on more than the square of
another: with x = z/√K and h_m the Hermite polynomials, orthonormal under a normal density,

    b_m = n E[h_m(x_i) h_2(x_j)],  i ≠ j,      a_m = n E[h_m(x_i)],

are of order one for every m of which σ² has a component c_m = C_W ⟨σ² h_m⟩; the book follows b_2 = V/2K² alone. Given
the layer before, units are independent normals, which gives, with ρ = γ √(K/K'), e = 1/(√2 K') and
v = n Var(s) = C_W² (⟨σ⁴⟩ − ⟨σ²⟩²) + 2 c_2 Σ c_p b_p − c_2² b_2,

    b_m' = ρ^m (ρ² b_m + e (c_m + c_2 b_m))   (m ≠ 2),      b_2' = ρ⁴ b_2 + 2 e ρ² (c_2 + Σ c_p b_p) + e² v.

Without a skip only b_2, a_2 and a_4 are left, and for odd homogeneous σ the others have no source: there it is the
book's. Derived for this package; for ReLU at γ = 0.7 networks stray twice as fast as by
the book, and as fast as by this.

Source of what it extends: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", Cambridge University Press
2022, arXiv 2106.10165, appendix B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from jaxtyping import Float

from surefoot.init.activations import Activation, as_function
from surefoot.init.moments import nodes

_MODES = 48  # of σ² beyond, ReLU has 10⁻⁶ of its square


@dataclass(frozen=True)
class Modes:
    """How units of one layer deviate from independent normals, by Hermite order.

    Attributes
    ----------
    single : a_m
    pair : b_m
    """

    single: Float[np.ndarray, " modes"] = field(default_factory=lambda: np.zeros(_MODES + 1))
    pair: Float[np.ndarray, " modes"] = field(default_factory=lambda: np.zeros(_MODES + 1))

    def vertex(self, K: float) -> float:
        """V of :class:`surefoot.init.KernelFlow`."""
        return float(2 * K**2 * self.pair[2])

    def correction(self, K: float) -> float:
        """G₁ of :class:`surefoot.init.KernelFlow`."""
        return float(math.sqrt(2) * K * self.single[2])


def next_modes(modes: Modes, act: Activation, K: float, K_next: float, C_W: float, gamma: float) -> Modes:
    """Those of the next layer, of the same width."""
    c, own = _components(act, K, C_W)
    a, b = modes.single, modes.pair
    rho, e = gamma * math.sqrt(K / K_next), 1 / (math.sqrt(2) * K_next)
    m = np.arange(_MODES + 1)
    shared = float(c @ b)
    with_variance = c + c[2] * b  # n cov(h_m of a unit, s)
    with_variance[2] = c[2] + shared
    variance = own + 2 * c[2] * shared - c[2] ** 2 * b[2]
    pair = rho**m * (rho**2 * b + e * with_variance)
    pair[2] = rho**4 * b[2] + 2 * e * rho**2 * with_variance[2] + e**2 * variance
    single = rho**m * a
    single[2] += e * float(c @ a)
    single[3:] += np.sqrt(m[3:] * (m[3:] - 1)) / (2 * K_next) * rho ** (m[3:] - 2) * with_variance[1:-2]
    single[4] += math.sqrt(24) / (8 * K_next**2) * variance
    pair[0] = single[0] = 0.0
    return Modes(single, pair)


def mixed_growth(act: Activation, K: float, C_W: float, gamma: float) -> float:
    """What the components of σ² other than the second add to ν at a fixed point K: (2/K²) Σ c_m² γ^m/(1 − γ^m)."""
    c, _ = _components(act, K, C_W)
    m = np.arange(1, _MODES + 1)
    share = c[1:] ** 2 * gamma**m / (1 - gamma**m)
    return float(2 / K**2 * (share.sum() - share[1]))


def _components(act: Activation, K: float, C_W: float) -> tuple[np.ndarray, float]:
    """c_m, without c_0, and C_W² (⟨σ⁴⟩ − ⟨σ²⟩²)."""
    t, weights, hermite = _table()
    with torch.no_grad():
        square = as_function(act)(math.sqrt(K) * t).double().square().numpy()
    c = C_W * (hermite @ (weights * square))
    own = C_W**2 * float(weights @ square**2) - c[0] ** 2
    c[0] = 0.0
    return c, own


@cache
def _table() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Nodes, weights, and h_m at the nodes."""
    t, weights = nodes()
    x = t.numpy()
    rows = [np.ones_like(x), x]
    for m in range(1, _MODES):
        rows.append((x * rows[m] - math.sqrt(m) * rows[m - 1]) / math.sqrt(m + 1))
    return t, weights.numpy(), np.stack(rows)
