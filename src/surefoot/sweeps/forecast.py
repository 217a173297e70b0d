"""At which size a number of the run will cross its limit: a power law over sizes, at each learning rate.

Sizes are compared at one step of all runs of a rate, the last up to which each was looked at. The largest size is held
back first and predicted from the others; then all sizes make the forecast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from surefoot.analysis.scaling import Crossing, Extrapolation, extrapolate
from surefoot.sweeps.read import Outcome, Series

BEYOND = 1e4  # times the largest size: no forecast goes farther


@dataclass(frozen=True)
class Quantity:
    """A number that is forecast: where it stands in an outcome, its limit, which side is bad, and who says so."""

    name: str
    title: str
    limit: float
    falls: bool
    noisy: bool
    source: str


QUANTITIES = (
    Quantity("attention_logit_max", "largest attention logit", 1e4, False, False,
             "every model with larger ones diverged (Wortsman et al. 2024, §3.3)"),
    Quantity("logit_max", "largest output logit", 256.0, False, False,
             "bfloat16 rounds it by a whole nat from there on"),
    Quantity("gradient_over_eps", "smallest gradient RMS over ε", 1.0, True, True,
             "Adam's step is halved where they are equal (Wortsman et al. 2024, §3.4)"),
    Quantity("safe_ratio", "step over radius of convergence", 4.0, False, True,
             "from there on surefoot takes a sudden step for unsafe; 1 is the radius itself"),
)  # fmt: skip


@dataclass(frozen=True)
class HeldBack:
    """The largest size, predicted from the others: factor is measured over predicted."""

    size: float
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def factor(self) -> float:
        """By what the prediction is off: measured over predicted, turned so that it is 1 or more."""
        ratio = self.measured / self.predicted
        return max(ratio, 1 / ratio)

    @property
    def inside(self) -> bool | None:
        """Whether what was measured lies in the interval; None where two sizes left it without an end."""
        return self.low <= self.measured <= self.high if math.isfinite(self.high) else None


@dataclass(frozen=True)
class Forecast:
    """One quantity at one learning rate.

    Attributes
    ----------
    quantity, rate : which; the rate is "" where the sweep has none
    step : at which sizes are compared
    sizes, values : one point a run
    state : ``"crossed"`` in the sweep already, ``"ahead"``, or ``"none"`` up to 10⁴ times the largest size
    crossed_at : the smallest size beyond the limit in the sweep; NaN where there is none
    exponent : of the power law
    crossing : where the limit is met
    held : the check on the largest size; None with fewer than three sizes
    """

    quantity: Quantity
    rate: str
    step: int
    sizes: tuple[float, ...]
    values: tuple[float, ...]
    state: Literal["crossed", "ahead", "none"]
    crossed_at: float
    exponent: float
    crossing: Crossing
    held: HeldBack | None


def forecasts(outcomes: Sequence[Outcome], rate: str) -> list[Forecast]:
    """All forecasts that at least two sizes allow, by quantity and then by rate."""
    made = []
    rates = sorted({outcome.values.get(rate, "") for outcome in outcomes}, key=lambda text: float(text or 0))
    for quantity in QUANTITIES:
        for value in rates:
            mine = [o for o in outcomes if o.values.get(rate, "") == value]
            found = _forecast(quantity, value, mine)
            if found is not None:
                made.append(found)
    return made


def _forecast(quantity: Quantity, rate: str, outcomes: Sequence[Outcome]) -> Forecast | None:
    known = [
        (outcome.parameters, series)
        for outcome in outcomes
        if math.isfinite(outcome.parameters) and (series := (outcome.numbers or {}).get(quantity.name)) is not None
    ]
    if len({size for size, _ in known}) < 2:
        return None
    step = min(int(series[0][-1]) for _, series in known)
    points = [(size, _reading(series, step, quantity.noisy)) for size, series in known]
    points = sorted((size, value) for size, value in points if math.isfinite(value))
    sizes, values = (tuple(column) for column in zip(*points, strict=True)) if points else ((), ())
    if len(set(sizes)) < 2:
        return None
    fit = extrapolate(sizes, values, degree=1)
    crossing = fit.crossing(quantity.limit, beyond=BEYOND)
    bad = [n for n, y in points if (y <= quantity.limit if quantity.falls else y >= quantity.limit)]
    ahead = (fit.exponent < 0) == quantity.falls and math.isfinite(crossing.size)
    return Forecast(
        quantity,
        rate,
        step,
        sizes,
        values,
        "crossed" if bad else "ahead" if ahead else "none",
        min(bad, default=math.nan),
        fit.exponent,
        crossing if ahead or bad else Crossing(quantity.limit, math.inf, _soonest(fit, quantity), math.inf),
        _held_back(sizes, values),
    )


def _soonest(fit: Extrapolation, quantity: Quantity) -> float:
    """The size at which the bad edge of the interval meets the limit; every size where there is no interval."""
    grid = np.geomspace(fit.sizes.max(), fit.sizes.max() * BEYOND, 401)
    for size in grid.tolist():
        expected = fit.predict(size)
        if expected.low <= quantity.limit if quantity.falls else expected.high >= quantity.limit:
            return size
    return math.inf


def _held_back(sizes: Sequence[float], values: Sequence[float]) -> HeldBack | None:
    largest = max(sizes)
    rest = [(n, y) for n, y in zip(sizes, values, strict=True) if n < largest]
    if len({n for n, _ in rest}) < 2:
        return None
    measured = math.exp(float(np.mean([math.log(y) for n, y in zip(sizes, values, strict=True) if n == largest])))
    expected = extrapolate([n for n, _ in rest], [y for _, y in rest], degree=1).predict(largest)
    return HeldBack(largest, measured, expected.value, expected.low, expected.high)


def _reading(series: Series, step: int, noisy: bool) -> float:
    """The value at a step: between looks by a line in log-log; of a noisy quantity the mean over the half before."""
    steps, values = series
    if noisy:
        near = (steps > step / 2) & (steps <= step)
        return float(np.exp(np.log(values[near]).mean())) if near.any() else math.nan
    if steps[0] > step:
        return math.nan
    return float(np.exp(np.interp(math.log(step), np.log(steps), np.log(values))))
