"""When a fault begins to do harm: the step at which the loss leaves the band of three seeds of the repaired twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from metric import WIDENED

WINDOW = 11


class Curve(NamedTuple):
    """Values by step; less is better, and what is not a number is infinite."""

    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Band:
    """The range of the twin's seeds at each step, on both sides widened by a tenth of how far the twin moves."""

    steps: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def leaves(self, curve: Curve) -> int | None:
        """The first step at which a curve is above the band; None if it never is.

        Below the band is no harm: less is better.
        """
        if not len(self.steps):
            return None
        at = np.searchsorted(self.steps, curve.steps, side="right") - 1
        above = (at >= 0) & (curve.values > self.high[np.maximum(at, 0)])
        return int(curve.steps[np.argmax(above)]) if above.any() else None


@dataclass(frozen=True)
class Harm:
    """The first step with harm, and what showed it; ``step`` is None where nothing did."""

    step: int | None
    by: Literal["loss", "metric", "end", "nothing"]


def running_median(curve: Curve, window: int = WINDOW) -> Curve:
    """The median of the last ``window`` values at each step that has so many; of all values in a shorter curve."""
    steps, values = curve
    width = min(window, len(values))
    if width == 0:
        return curve
    rows = np.lib.stride_tricks.sliding_window_view(np.where(np.isnan(values), np.inf, values), width)
    return Curve(steps[width - 1 :], np.median(rows, axis=1))


def band(twins: Sequence[Curve], starts: Sequence[float] | None = None) -> Band | None:
    """The band of the twin's seeds, each already a running median; None where it tells nothing.

    It tells nothing where a seed has no curve, or where the seeds end farther apart than any of them came: such a
    number (the loss of a game, or of a policy) does not measure how good the model is.

    Parameters
    ----------
    twins : the running medians, one a seed
    starts : from where each seed came; None for the first of its running median
    """
    if not twins or any(not len(twin.steps) for twin in twins):
        return None
    steps = np.unique(np.concatenate([twin.steps for twin in twins]))
    steps = steps[steps >= max(twin.steps[0] for twin in twins)]
    rows = np.array([twin.values[np.searchsorted(twin.steps, steps, side="right") - 1] for twin in twins])
    ends = [twin.values[-1] for twin in twins]
    starts = [twin.values[0] for twin in twins] if starts is None else starts
    change = float(np.median([start - end for start, end in zip(starts, ends, strict=True)]))
    if not np.isfinite(rows).all() or change <= max(ends) - min(ends):
        return None
    return Band(steps, rows.min(axis=0) - WIDENED * change, rows.max(axis=0) + WIDENED * change)


def parts(curve: Curve, twin: Curve) -> float:
    """The first common step at which a run's loss is not its twin's of the same seed; ∞ where it always is."""
    steps, mine, theirs = np.intersect1d(curve.steps, twin.steps, return_indices=True)
    differ = ~np.isclose(curve.values[mine], twin.values[theirs], rtol=1e-6, atol=0.0, equal_nan=True)
    return float(steps[np.argmax(differ)]) if differ.any() else np.inf


def harm(
    losses: Sequence[tuple[Curve, Sequence[Curve]]],
    metric: tuple[Curve, Sequence[Curve]],
    *,
    broke: bool,
    steps: int,
) -> Harm:
    """When harm began in a faulty run.

    Parameters
    ----------
    losses : for each optimiser, the faulty run's recorded loss and that of each seed of the twin
    metric : the same of the script's own number, at the steps at which it was printed; asked where no loss shows harm
    broke : the run ended by an exception
    steps : how many steps it took
    """
    seen = [
        step
        for curve, twins in losses
        if (inside := band([running_median(twin) for twin in twins])) is not None
        and (step := inside.leaves(running_median(curve))) is not None
    ]
    if seen:
        return Harm(min(seen), "loss")
    curve, twins = metric
    # A number that is printed fifteen times has no eleven values to lose: a fifth of them is enough for a median.
    width = max(1, min(WINDOW, len(curve.steps) // 5))
    # from the first value, as cures are judged: of few, much was learned before there are enough for a median
    starts = [twin.values[0] for twin in twins if len(twin.values)]
    inside = band([running_median(twin, width) for twin in twins], starts)
    step = inside.leaves(running_median(curve, width)) if inside is not None else None
    if step is not None:
        return Harm(step, "metric")
    return Harm(steps, "end") if broke else Harm(None, "nothing")
