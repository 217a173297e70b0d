"""The radius of convergence itself, found numerically: the complex zero of F(t) = Σ_k exp(z_k + a_k·t) nearest to 0.

:func:`surefoot.optim.safe_radius.convergence_radius` is its lower bound at the cost of one subtraction; this is for
calibration and study, at some milliseconds a sample of ten classes.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), sections 2 and 3; how to find the zero is our own: the
argument principle brackets it, Newton's iteration closes in, the argument principle again shows that none is nearer.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_GROWTH = 1.3  # of the disc, until it holds a zero
_MOST_HALVINGS = 40


def exact_radius(
    logits: Float[Tensor, "*batch classes"], slopes: Float[Tensor, "*batch classes"]
) -> Float[Tensor, "*batch"]:
    """Radius of convergence of the linearised cross-entropy of each sample, to about ten digits.

    Parameters
    ----------
    logits, slopes : of one shape, classes last; meant for at most some hundred classes

    Returns
    -------
    Length along the direction, float64, on the CPU; inf where all slopes of a sample are equal.

    Raises
    ------
    ValueError
        If shapes differ, there are fewer than two classes, or a value is not finite.
    """
    if logits.shape != slopes.shape or logits.dim() == 0:
        raise ValueError(f"slopes: got shape {tuple(slopes.shape)}; use that of the logits, {tuple(logits.shape)}")
    if logits.shape[-1] < 2:
        raise ValueError("logits: at least two classes are needed, classes last")
    z = logits.detach().double().cpu().reshape(-1, logits.shape[-1]).numpy()
    a = slopes.detach().double().cpu().reshape(-1, logits.shape[-1]).numpy()
    if not (np.isfinite(z).all() and np.isfinite(a).all()):
        raise ValueError("logits, slopes: got NaN or inf; all values must be finite")
    radii = [abs(zero) for zero in map(nearest_zero, z, a)]
    return torch.tensor(radii, dtype=torch.float64).reshape(logits.shape[:-1])


def nearest_zero(logits: np.ndarray, slopes: np.ndarray) -> complex:
    """The zero of F nearest to the origin in the upper half plane (its conjugate is one too), for one sample."""
    logits, slopes = np.asarray(logits, dtype=float), np.asarray(slopes, dtype=float)
    spread = float(slopes.max() - slopes.min())
    if not spread > 0:
        return complex(math.inf)
    # In units of 1/spread, with slopes around 0 (a factor exp(c·t) has no zero) and the largest weight 1.
    a = (slopes - (slopes.max() + slopes.min()) / 2) / spread
    z = logits - logits.max()
    if len(a) == 2:
        return complex(-(z[1] - z[0]) * np.sign(a[1] - a[0]), math.pi) / spread
    inner, outer = math.pi, math.pi * 1.0001
    while _zeros_inside(z, a, outer) == 0:
        inner, outer = outer, outer * _GROWTH
    for seeds in (48, 192, 768):
        angles = np.linspace(0, math.pi, seeds + 2)[1:-1]
        radii = np.linspace(max(inner / _GROWTH, math.pi), outer, max(5, seeds // 32))
        found = _newton(z, a, (radii[:, None] * np.exp(1j * angles)).reshape(-1))
        found = found[(np.abs(found) >= math.pi * (1 - 1e-9)) & (np.abs(found) <= outer * (1 + 1e-9))]
        if len(found):
            nearest = found[np.argmin(np.abs(found))]
            if _zeros_inside(z, a, abs(nearest) * (1 - 1e-6)) == 0:
                return complex(nearest.real, abs(nearest.imag)) / spread
    raise ArithmeticError(f"no zero of F was isolated between {inner / spread:.6g} and {outer / spread:.6g}")


def taylor_coefficients(
    logits: Float[Tensor, " classes"], slopes: Float[Tensor, " classes"], order: int
) -> Float[Tensor, " order_plus_1"]:
    """Taylor coefficients c_0 … c_order of log F(t) around 0, float64: their ratio tends to 1/radius (section 2)."""
    if order < 0:
        raise ValueError(f"order: got {order}; use 0 or more")
    z, a = logits.detach().double(), slopes.detach().double()
    weights = torch.softmax(z, dim=0)
    moments = [1.0] + [float((weights * a**n).sum()) / math.factorial(n) for n in range(1, order + 1)]
    coefficients = [float(torch.logsumexp(z, dim=0))]
    for n in range(1, order + 1):
        carried = sum(k * coefficients[k] * moments[n - k] for k in range(1, n))
        coefficients.append(moments[n] - carried / n)
    return torch.tensor(coefficients, dtype=torch.float64)


def _exponents(z: np.ndarray, a: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Terms of F at each t, divided by their largest modulus: (points, classes)."""
    exponents = z + a * t[:, None]
    return np.exp(exponents - exponents.real.max(axis=1, keepdims=True))


def _zeros_inside(z: np.ndarray, a: np.ndarray, radius: float) -> int:
    """Number of pairs of conjugate zeros with |t| < radius, by the winding of F along the upper half circle."""
    # The largest term alone turns by up to radius/2 a radian: no interval may hide a whole turn.
    angles = np.linspace(0, math.pi, min(1 << 18, max(129, int(4 * radius))))
    phases = _phases(z, a, radius, angles)
    for _ in range(_MOST_HALVINGS):
        turns = np.diff(phases)
        turns -= 2 * math.pi * np.round(turns / (2 * math.pi))
        coarse = np.flatnonzero(np.abs(turns) > 0.6)
        if not len(coarse):
            break
        # Only where the phase turns fast, near a zero, are more points needed.
        middles = (angles[coarse] + angles[coarse + 1]) / 2
        angles = np.insert(angles, coarse + 1, middles)
        phases = np.insert(phases, coarse + 1, _phases(z, a, radius, middles))
    # F is real and positive at both ends: a whole number of turns. A zero on the circle itself rounds either way.
    return round(float(turns.sum()) / (2 * math.pi))


def _phases(z: np.ndarray, a: np.ndarray, radius: float, angles: np.ndarray) -> np.ndarray:
    return np.angle(_exponents(z, a, radius * np.exp(1j * angles)).sum(axis=1))


def _newton(z: np.ndarray, a: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Zeros that Newton's iteration reaches from the points t."""
    limit = 3 * np.abs(t).max()
    with np.errstate(all="ignore"):
        for _ in range(40):
            terms = _exponents(z, a, t)
            step = terms.sum(axis=1) / (terms * a).sum(axis=1)
            # Long jumps leave the neighbourhood that the seed stands for.
            step *= np.minimum(1, 1.0 / np.maximum(np.abs(step), 1e-300))
            t = t - step
            going = np.isfinite(t) & (np.abs(t) < limit)
            t, step = t[going], step[going]
            if not len(t) or np.abs(step).max() < 1e-13 * np.abs(t).min():
                break
    return t[np.abs(step) < 1e-9 * np.abs(t)] if len(t) else t
