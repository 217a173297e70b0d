"""The normalised step r of a run, streamed: where it stands, how it drifts, when it will leave the radius.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), sections 4 and 6: as predictions sharpen the radius
shrinks, and a constant learning rate crosses r = 1 at some step. The forecast is our own: a straight line through ln r.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

WINDOW = 64


@dataclass(frozen=True)
class StepHistory:
    """State of the stream: the newest probes, and what is kept of all.

    Parameters
    ----------
    steps, r, radius : of the newest probes, at most ``WINDOW``
    count, outside : number of probes, and of those with r ≥ 1
    largest, largest_step : the largest r so far, and its step
    first_outside : first step with r ≥ 1, or None
    """

    steps: tuple[int, ...] = ()
    r: tuple[float, ...] = ()
    radius: tuple[float, ...] = ()
    count: int = 0
    outside: int = 0
    largest: float = 0.0
    largest_step: int | None = None
    first_outside: int | None = None


@dataclass(frozen=True)
class StepSummary:
    """What a stream of r says now.

    Parameters
    ----------
    r : newest normalised step
    median : of r over the window, without the newest
    jump : newest r over that median; 1 where there is no median yet
    outside_share : share of all probes with r ≥ 1
    radius_halves_in : steps in which the radius halves at the window's rate; inf if it does not shrink
    outside_in : steps until r reaches 1 on a straight line through the window's ln r; 0 if it is there, inf if it does
        not rise or there are fewer than four probes
    """

    r: float
    median: float
    jump: float
    outside_share: float
    radius_halves_in: float
    outside_in: float


def update(state: StepHistory | None, step: int, r: float, radius: float) -> StepHistory:
    """Take in one probe.

    Parameters
    ----------
    state : of before; None at the start
    step : of the probe, larger than the one before
    r, radius : normalised step (0 or more) and radius of convergence (positive, maybe inf)

    Raises
    ------
    ValueError
        If r or the radius is out of range, or the step does not come after the last.
    """
    state = state or StepHistory()
    if not (math.isfinite(r) and r >= 0):
        raise ValueError(f"r: got {r}; use a finite number, 0 or more")
    if not radius > 0:
        raise ValueError(f"radius: got {radius}; it is positive, or inf")
    if state.steps and step <= state.steps[-1]:
        raise ValueError(f"step: got {step} after {state.steps[-1]}; steps rise")
    out = r >= 1
    return StepHistory(
        steps=(*state.steps, step)[-WINDOW:],
        r=(*state.r, float(r))[-WINDOW:],
        radius=(*state.radius, float(radius))[-WINDOW:],
        count=state.count + 1,
        outside=state.outside + out,
        largest=max(state.largest, float(r)),
        largest_step=step if state.largest_step is None or r > state.largest else state.largest_step,
        first_outside=step if out and state.first_outside is None else state.first_outside,
    )


def compute(state: StepHistory) -> StepSummary:
    """Summarise the stream.

    Raises
    ------
    ValueError
        If nothing was taken in yet.
    """
    if not state.count:
        raise ValueError("state: no probe was taken in yet; call update first")
    newest = state.r[-1]
    median = statistics.median(state.r[:-1]) if len(state.r) > 1 else newest
    rate, level = _line(state.steps, state.r)
    shrink, _ = _line(state.steps, state.radius)
    if newest >= 1:
        outside_in = 0.0
    else:
        outside_in = max(0.0, -level / rate) if rate > 0 else math.inf
    return StepSummary(
        r=newest,
        median=median,
        jump=newest / median if median > 0 else 1.0,
        outside_share=state.outside / state.count,
        radius_halves_in=math.log(2) / -shrink if shrink < 0 else math.inf,
        outside_in=outside_in,
    )


def _line(steps: tuple[int, ...], values: tuple[float, ...]) -> tuple[float, float]:
    """Slope of ln value over steps by least squares, and the line's height at the newest step; (0, 0) if too few."""
    points = [(s - steps[-1], math.log(v)) for s, v in zip(steps, values, strict=True) if 0 < v < math.inf]
    if len(points) < 4:
        return 0.0, 0.0
    slope, height = statistics.linear_regression(*zip(*points, strict=True))
    return slope, height
