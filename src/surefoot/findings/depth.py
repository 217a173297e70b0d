"""How a signal changes over depth: geometric growth or decay of one look's values from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.findings.history import History, Layers

MIN_LAYERS = 4
_SPECIAL = ("norm", "embedding")  # scales of another kind: gains of order one; rows that a batch does not touch


@dataclass(frozen=True, slots=True)
class Profile:
    """Log2 of a positive signal over depth.

    ``bits`` is log2 of (first quarter of the layers / last quarter), by medians: −24 says that the first layers have
    2⁻²⁴ of the last ones'. ``slope`` is the Theil–Sen slope of log2 over depth, in bits a layer; ``geometric`` says
    that the slope alone explains half of ``bits`` or more, so that it is compounding and not one odd layer.
    """

    names: tuple[str, ...]
    log2: np.ndarray
    bits: float
    slope: float
    geometric: bool


def profile(history: History, layers: Layers | None) -> Profile | None:
    """The profile over layers with weights, normalisation and embedding layers left out; None with fewer than 4."""
    if layers is None:
        return None
    special = history.of_type(layers.names, _SPECIAL)
    known = layers.memo.get("profile")
    if known is None or known[0] is not special:  # else a module's type is known by now
        known = layers.memo["profile"] = (special, _profile(layers, special))
    return known[1]


def _profile(layers: Layers, special: np.ndarray) -> Profile | None:
    with np.errstate(invalid="ignore"):
        good = np.isfinite(layers.values) & (layers.values > 0)
    kept = np.flatnonzero(good & ~special)
    if len(kept) < MIN_LAYERS:
        return None
    log2 = np.log2(layers.values[kept])
    quarter = max(1, len(kept) // 4)
    bits = float(np.median(log2[:quarter]) - np.median(log2[-quarter:]))
    slope = theil_sen(log2)
    explained = -slope * (len(kept) - 1)
    return Profile(
        tuple(layers.names[i] for i in kept), log2, bits, slope, explained * np.sign(bits) >= 0.5 * abs(bits)
    )


def theil_sen(values: np.ndarray) -> float:
    """Median of the slopes between all pairs, which up to 29 % of odd values cannot bend; long rows are thinned."""
    at = np.arange(len(values))
    if len(values) > 48:
        at = np.linspace(0, len(values) - 1, 48).round().astype(int)
    i, j = np.triu_indices(len(at), 1)
    return float(np.median((values[at[j]] - values[at[i]]) / (at[j] - at[i])))
