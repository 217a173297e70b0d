"""The rate at which a gradient grows on its way back through time: a finite-time Lyapunov exponent.

∂L/∂h_t = Σ_s (J_{t+1}ᵀ … J_sᵀ) ∂L_s/∂h_s with J_t = ∂h_t/∂h_{t−1}. Products of Jacobians grow like e^{λ(s−t)}, where
λ is the largest Lyapunov exponent of the trajectory. With λ > 0 the oldest term outgrows all others; with λ < 0 the
terms die out. What the user's own loss weights them by is in ∂L/∂h_t already, so that its growth is measured, not that
of a product alone.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

_PAIRS_OF = 64  # times; of longer series as many are taken, evenly spaced


def growth_rate(norms: Float[np.ndarray, " times"]) -> float:
    """λ in nats a time step *back* in time, from |∂L/∂h_t| for t = 1 … T.

    The median slope over all pairs of times (Theil–Sen), which 29 % of odd times cannot bend; times with a norm of
    zero (no gradient came so far back, or the loss does not look at the end) are left out. NaN with fewer than four
    times; ±inf where norms left the range of float64.
    """
    norms = np.asarray(norms, dtype=np.float64)
    if norms.ndim != 1:
        raise ValueError(f"norms: has shape {norms.shape}; one number a time step is needed")
    if np.isnan(norms).any():
        return math.nan
    if np.isposinf(norms).any():
        return math.inf
    at = np.flatnonzero(norms > 0)
    if len(at) < 4:
        return math.nan
    if len(at) > _PAIRS_OF:
        at = at[np.linspace(0, len(at) - 1, _PAIRS_OF).round().astype(int)]
    logs = np.log(norms[at])
    i, j = np.triu_indices(len(at), 1)
    return float(np.median((logs[i] - logs[j]) / (at[j] - at[i])))


def predicted_factor(rate: float, length: float) -> float:
    """e^{λT}: what a gradient is multiplied by over ``length`` time steps; inf and 0 where float64 has no number."""
    exponent = rate * length
    if math.isnan(exponent):
        return math.nan
    return math.inf if exponent > 709 else math.exp(exponent)
