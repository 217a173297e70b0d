"""How far an optimiser steps, measured against what it steps on: relative movement, promised decrease, overshoot."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from surefoot.findings.levels import EARLY, LossLevel

# Overshoot of a step that promises a thousandth of the loss: of the healthy runs of the clinic all had four times that
# within a hundred steps, and most had twenty times.
SMALL_PROMISE = 5e-4
HEALTHY = 3e-2  # ‖Δθ‖/‖θ‖ of the longest steps of healthy runs
STIRRED = 0.1  # of their size that the weights moved: of less, and nothing learned, it is the rate that is too low


@dataclass(frozen=True, slots=True)
class Stride:
    """One step that was looked at.

    ``rate`` is ‖Δθ‖/‖θ‖. ``overshoot`` is −⟨g, Δθ⟩/(2Λ) with Λ the loss (or what a constant prediction scores, where
    that is higher). For a convex loss with minimum ≥ 0 the step Δθ = −P g comes nearer to every minimiser, in the
    metric P⁻¹, as long as overshoot < 1 (‖θ+Δθ−θ*‖² ≤ ‖θ−θ*‖² − 2(L−L*) − ⟨g, Δθ⟩, the inequality behind Polyak's
    step); in a quadratic bowl it moves away from the minimum as soon as overshoot > 2, which is the learning rate 2/λ.
    ``elasticity`` is ‖g‖‖θ‖/Λ: by how many per cent the loss can change when the weights change by one per cent.
    """

    step: int
    rate: float
    overshoot: float
    elasticity: float
    gradient_norm: float
    learning_rate: float


class Pace:
    """The strides of one optimiser: the newest 64, the first 4, and how far it came in all.

    Attributes
    ----------
    movement : Σ ‖Δθ‖/‖θ‖ over all steps so far, the steps between two looks counted like the later look: an upper
        bound of how far the weights can have moved, in units of their own size.
    promised : Σ −⟨g, Δθ⟩/Λ over all steps so far, counted in the same way: for a convex loss no less than the share
        of it that they can have taken away. Looks at which Λ was unknown count as nothing.
    opening : ``movement`` over the first 16 steps.
    overshot : the newest looks whose overshoot was 1 or more, at most 4 of them.
    peak_overshoot, peak_rate : the largest seen so far, and ``peak_step`` the step of the first of them.
    """

    __slots__ = (
        "first",
        "movement",
        "newest",
        "opening",
        "overshot",
        "peak_overshoot",
        "peak_rate",
        "peak_step",
        "promised",
    )

    def __init__(self) -> None:
        self.newest: deque[Stride] = deque(maxlen=64)
        self.first: list[Stride] = []
        self.overshot: deque[Stride] = deque(maxlen=4)
        self.movement = self.opening = self.promised = 0.0
        self.peak_overshoot = self.peak_rate = 0.0
        self.peak_step = 0

    def add(
        self,
        step: int,
        level: LossLevel,
        loss: float,
        norms: tuple[float, float, float],
        promised: float,
        learning_rate: float,
    ) -> None:
        """Take in one look at a step of this optimiser.

        ``loss`` is the loss that step was taken on, ``norms`` are ‖θ‖ before it, ‖Δθ‖ and ‖g‖.
        """
        weight_norm, update_norm, gradient_norm = norms
        rate = update_norm / weight_norm if weight_norm > 0 else math.nan
        if math.isnan(rate):
            return  # an infinite one is a measurement: the update overflowed
        scale = max(abs(loss), level.constant) if level.constant > 0 else abs(loss)
        known = math.isfinite(scale) and scale > 0 and not level.negative
        overshoot = promised / (2 * scale) if known else math.nan
        elasticity = gradient_norm * weight_norm / scale if known else math.nan
        gap = step - self.newest[-1].step if self.newest else 1
        self.movement += rate * gap
        stride = Stride(step, rate, overshoot, elasticity, gradient_norm, learning_rate)
        self.newest.append(stride)
        if len(self.first) < 4:
            self.first.append(stride)
        if overshoot > 0:
            self.promised += 2 * overshoot * gap
        if step <= self.first[0].step + EARLY:
            self.opening = self.movement
        if overshoot >= 1:
            self.overshot.append(stride)
        if overshoot > self.peak_overshoot:
            self.peak_overshoot, self.peak_step = overshoot, step
        self.peak_rate = max(self.peak_rate, rate)

    def moved_by(self, step: int) -> float:
        """Σ ‖Δθ‖/‖θ‖ up to a step after the last look, the steps since counted like it."""
        return self.movement + (self.newest[-1].rate * (step - self.newest[-1].step) if self.newest else 0.0)

    def promised_by(self, step: int) -> float:
        """``promised`` up to a step after the last look, the steps since counted like it."""
        last = self.newest[-1] if self.newest else None
        return self.promised + (2 * last.overshoot * (step - last.step) if last and last.overshoot > 0 else 0.0)

    @property
    def rising(self) -> bool:
        """The learning rate is above that of the first look, or zero still: also where it has come down from a peak to
        what is more than it began with. One that is not known (updates by hand) does not rise."""
        if not self.newest:
            return False
        now = self.newest[-1].learning_rate
        return now > 1.01 * self.first[0].learning_rate or now <= 0

    def last(self, n: int) -> list[Stride]:
        """The newest ``n`` strides, newest last."""
        return list(self.newest)[-n:]
