"""A rate that is gone while the loss was in full swing.

What a run has learned is told by its steps at their rates, not by their number: the loss over the sum of all rates so
far. A run that is through gains far less in the second half of that sum than in the first. One that gains half as much
at least, and has a hundredth of its rate left, was stopped by its schedule.
"""

from __future__ import annotations

from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.progress import one_loss
from surefoot.findings.rates import RateLevel

_HALF = 0.5
_AS_MUCH = 0.5  # of what the first half gained


def cut_short(history: History, rate: RateLevel) -> bool:
    """There is one loss, of a known scale, and the second half of the sum of all rates lowered it by half as much as
    the first, or more, beyond its noise."""
    if not one_loss(history):
        return False
    loss = next(iter(history.losses.values()))
    return loss.known and _in_full_swing(loss, rate)


def _in_full_swing(loss: LossLevel, rate: RateLevel) -> bool:
    half = next((step for step, total in rate.marks if total >= _HALF * rate.worth * rate.peak), None)
    at_half = next((recent for step, recent in loss.marks if half is not None and step >= half), None)
    if at_half is None:
        return False
    before, after = loss.first - at_half, at_half - loss.recent
    return before > 0 and after >= _AS_MUCH * before and after > 2 * loss.uncertainty
