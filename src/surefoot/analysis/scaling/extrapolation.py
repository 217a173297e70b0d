"""A power law, or a parabola in log-log, through a few sizes, and how far it can be trusted beyond the largest.

The interval is Student's prediction interval of the fit: it grows with the distance to the points and with their
scatter, and where no point is left over to show the scatter it is everything. It takes the form of the law for
granted: what it cannot know is whether the law bends beyond the last size. Hold the largest size back and see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Prediction:
    """The value expected at a size, and the interval that a new run's value lies in; (0, ∞) where nothing is known."""

    size: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Crossing:
    """The first size at which a threshold is reached: by the fit, and by the near and the far edge of its interval.

    A size that lies beyond what was searched is ∞.
    """

    threshold: float
    size: float
    soonest: float
    latest: float


@dataclass(frozen=True)
class Extrapolation:
    """A fit of log₁₀ y as a polynomial in log₁₀ N; made by :func:`extrapolate`.

    Attributes
    ----------
    sizes, values : what was fitted
    degree : 1 for a power law, 2 for a parabola in log-log
    coefficients : of the polynomial in log₁₀(N / centre), the constant first
    centre : geometric mean of the sizes
    sigma : standard deviation about the fit in decades; NaN where no point is left over
    confidence : of the intervals
    """

    sizes: Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]
    degree: int
    coefficients: Float[np.ndarray, " terms"]
    centre: float
    sigma: float
    confidence: float

    @property
    def exponent(self) -> float:
        """Slope of log y in log N at the largest size: the power of a power law."""
        x = math.log10(float(self.sizes.max()) / self.centre)
        return float(sum(k * c * x ** (k - 1) for k, c in enumerate(self.coefficients.tolist()) if k))

    def predict(self, size: float) -> Prediction:
        """The value at a size, with its interval.

        Raises
        ------
        ValueError
            If the size is not a positive number.
        """
        if not (math.isfinite(size) and size > 0):
            raise ValueError(f"size: got {size}; pass a positive number")
        middle, half = self._band(np.array([size]))
        value = float(_power(middle)[0])
        low, high = (float(_power(edge)[0]) for edge in (middle - half, middle + half))
        return Prediction(float(size), value, low, high)

    def crossing(self, threshold: float, *, beyond: float = 1e4) -> Crossing:
        """Where the fit, and each edge of its interval, first reaches a threshold.

        Upwards if the fit is below the threshold at the smallest size, downwards if it is above.

        Parameters
        ----------
        threshold
            Of the value; positive.
        beyond
            Search up to so many times the largest size.
        """
        if not (math.isfinite(threshold) and threshold > 0):
            raise ValueError(f"threshold: got {threshold}; pass a positive number")
        grid = np.geomspace(self.sizes.min(), self.sizes.max() * beyond, 4001)
        middle, half = self._band(grid)
        level = math.log10(threshold)
        rising = middle[0] < level
        near, far = (middle + half, middle - half) if rising else (middle - half, middle + half)

        def first(edge: np.ndarray) -> float:
            reached = edge >= level if rising else edge <= level
            return float(grid[reached.argmax()]) if reached.any() else math.inf

        return Crossing(threshold, first(middle), first(near), first(far))

    def _band(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit and half width of its interval, in decades."""
        x, at = _terms(self.sizes, self.centre, self.degree), _terms(sizes, self.centre, self.degree)
        free = len(self.sizes) - self.degree - 1
        if not free:
            return at @ self.coefficients, np.full(len(sizes), np.inf)
        spread = np.einsum("ij,jk,ik->i", at, np.linalg.inv(x.T @ x), at)
        return at @ self.coefficients, student_quantile(self.confidence, free) * self.sigma * np.sqrt(1 + spread)

    def plot(self, *, to: float | None = None, y: str = "value") -> go.Figure:
        """Points, fit and interval up to a size (by default ten times the largest)."""
        from surefoot.plots import figure, line

        grid = np.geomspace(self.sizes.min(), to or 10 * self.sizes.max(), 101)
        middle, half = self._band(grid)
        traces = []
        if np.isfinite(half).all():
            name, thin = f"{100 * self.confidence:g} % interval", {"line": {"width": 0}}
            traces = [
                {**line(name, grid, _power(middle - half)), **thin, "showlegend": False},
                {**line(name, grid, _power(middle + half)), **thin, "fill": "tonexty"},
            ]
        traces += [
            line("fit", grid, _power(middle)),
            line("measured", self.sizes, self.values, "markers"),
        ]
        return figure(traces, x="parameters", y=y, log_x=True, log_y=True)


def extrapolate(
    sizes: Float[np.ndarray, " points"] | Sequence[float],
    values: Float[np.ndarray, " points"] | Sequence[float],
    degree: int = 2,
    *,
    confidence: float = 0.9,
) -> Extrapolation:
    """Fit log₁₀ y as a polynomial of ``degree`` in log₁₀ N by least squares.

    Parameters
    ----------
    sizes
        N: parameters, without embedding and head in the paper. Runs of one size may be given each.
    values
        y at each size: the paper's is the largest attention logit of the first block at one early step.
    degree
        1 is a power law; the paper fits the logits with 2.
    confidence
        Of the intervals of the predictions.

    Raises
    ------
    ValueError
        If sizes or values are not positive finite numbers of one length, if there are not more distinct sizes than
        ``degree``, or if ``degree`` or ``confidence`` are out of range.

    Source: arXiv 2309.14322, §3.3 and figure 7.
    """
    n, y = np.asarray(sizes, dtype=float), np.asarray(values, dtype=float)
    if n.ndim != 1 or n.shape != y.shape:
        raise ValueError(f"sizes, values: got shapes {n.shape} and {y.shape}; pass two lists of one length")
    for name, given in (("sizes", n), ("values", y)):
        if not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(f"{name}: a logarithm is taken of them; leave out those that are not positive numbers")
    if degree < 1:
        raise ValueError(f"degree: got {degree}; use 1 (power law) or 2")
    if len(np.unique(n)) <= degree:
        raise ValueError(f"degree: {degree} needs more than {degree} sizes; got {len(np.unique(n))}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}; use a number between 0 and 1, such as 0.9")
    centre = 10 ** float(np.log10(n).mean())
    x, decades = _terms(n, centre, degree), np.log10(y)
    coefficients = np.linalg.lstsq(x, decades, rcond=None)[0]
    free = len(n) - degree - 1
    sigma = math.sqrt(float(np.square(decades - x @ coefficients).sum()) / free) if free else math.nan
    return Extrapolation(n, y, degree, coefficients, centre, sigma, confidence)


def will_diverge(fit: Extrapolation, size: float, threshold: float = 1e4) -> bool:
    """Whether the value expected at a size reaches ``threshold``.

    10⁴ is the largest attention logit beyond which every model of the paper diverged (heads 64 wide, float32 and
    bfloat16). How sure that is tells ``fit.predict(size)``: yes where ``low`` is above the threshold, no where ``high``
    is below it.

    Source: arXiv 2309.14322, §3.3.
    """
    return fit.predict(size).value >= threshold


def student_quantile(confidence: float, free: int) -> float:
    """t with P(|T| ≤ t) = ``confidence`` for Student's distribution with ``free`` degrees of freedom.

    With T = √ν tan φ the density of φ is proportional to cos^(ν−1) φ: its integral is summed and read backwards.
    """
    if free < 1:
        raise ValueError(f"free: got {free}; a scatter needs at least one point more than the fit has terms")
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (free - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(free) * math.tan(float(np.interp(confidence, mass / mass[-1], angles)))


def _terms(sizes: np.ndarray, centre: float, degree: int) -> np.ndarray:
    return np.vander(np.log10(sizes / centre), degree + 1, increasing=True)


def _power(decades: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(10.0**decades)
