"""Fewer points, same picture: series keep each bucket's extremes, heat maps average their cells."""

from __future__ import annotations

import numpy as np

MAX_POINTS = 2_000
MAX_ROWS, MAX_COLUMNS = 150, 240


def thin(x: np.ndarray, y: np.ndarray, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most ``limit`` points of a finite series that keep the lowest and the highest value of every bucket.

    Parameters
    ----------
    x, y
        Positions (sorted) and finite values, of the same length.
    limit
        How many points may remain; the first and the last are always among them.
    """
    if len(x) <= limit:
        return x, y
    edges = np.linspace(0, len(x), max(limit // 2, 2), dtype=np.int64)
    starts, ends = edges[:-1], edges[1:]
    keep = {0, len(x) - 1}
    for start, end in zip(starts, ends, strict=True):
        part = y[start:end]
        keep.add(int(start + part.argmin()))
        keep.add(int(start + part.argmax()))
    index = np.fromiter(sorted(keep), dtype=np.int64)
    return x[index], y[index]


def edges(steps: np.ndarray) -> np.ndarray:
    """Borders of the cells around sampled steps: halfway between neighbours, half a step beyond the ends."""
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[steps[0] - 0.5], middle, [steps[-1] + 0.5]])


def bins(length: int, limit: int) -> np.ndarray:
    """Starts of at most ``limit`` bins of near-equal size over ``length`` rows, and the end."""
    return np.unique(np.linspace(0, length, min(length, limit) + 1).round().astype(np.int64))


def pool(values: np.ndarray, borders: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the finite values of each bin along an axis; where a bin has none, any NaN or infinity it holds."""
    finite = np.isfinite(values)
    starts = borders[:-1]
    total = np.add.reduceat(np.where(finite, values, 0), starts, axis=axis, dtype=np.float64)
    amount = np.add.reduceat(finite, starts, axis=axis, dtype=np.int64)
    infinite = np.logical_or.reduceat(np.isinf(values), starts, axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / amount
    return np.where(infinite & (amount == 0), np.inf, np.where(amount == 0, np.nan, mean)).astype(np.float32)
