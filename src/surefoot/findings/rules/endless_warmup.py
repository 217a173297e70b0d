"""Rates that rise where they should not, or fall below zero.

A warm-up that is as long as the run: counted in steps where epochs were meant, or made for another run.

A warm-up ends where the steps have their length; a run that is over while its rate still rises as it did from the first
step has had half of that rate on average, or far less. So has one whose warm-up is made anew, with the optimiser, in
each epoch. And a schedule in closed form goes on beyond its end: below zero each step climbs.
"""

from __future__ import annotations

import math

from surefoot.findings.history import History
from surefoot.findings.pace import HEALTHY, Pace
from surefoot.findings.progress import fit
from surefoot.findings.rates import RateLevel
from surefoot.findings.rule import Sign
from surefoot.findings.rules.schedule_cures import schedule_for
from surefoot.findings.slower import GOOD_STEP
from surefoot.runs.schema import Evidence

_FEWEST = 64  # steps, as for any other schedule
_SLOWLY = 2 / 3  # of its last rate, on average over the run: what rises as the root of its steps has that
_TIMES = 4.0  # so many times as long, its last steps would have been good ones still
_AGAIN = 3.0  # restarts
_SOURCE = "the run is over, and its rate was never as high as in its last step"


def endless_warmup(history: History) -> Sign | None:
    """The run is over without an error, its rate rose to the end and never fell, was two thirds of the last on average
    at most, no loss is fit, and steps four times as long as the last would have been good (see the code)."""
    last = history.events("exit")
    if not last or last[-1].data.get("code") or last[-1].data.get("exception") or fit(history):
        return None
    for name, level in history.rates.items():
        pace = history.paces.get(name)
        if pace is None or history.step < _FEWEST or not _rises_throughout(history, name, level):
            continue
        if not _could_be_longer(pace) or _next_to_nothing(history):
            continue
        cause = (
            f"the learning rate rises to the end: it is {level.newest:.3g} at step {history.step}, the last: "
            "the warm-up is as long as the run, or was made for a longer one."
        )
        evidence = Evidence("learning_rate", name, history.step, level.newest, level.peak, _SOURCE)
        return Sign("warning", cause, (evidence,), (name,) if name else (), 1, (schedule_for(history.step),))
    return None


def _could_be_longer(pace: Pace) -> bool:
    """Steps so many times as long as the last would have been good; where the loss has no scale that a promise could be
    measured by (returns), would have moved the weights by no more than healthy steps do."""
    last = pace.last(4)
    longest = max((s.overshoot for s in last), default=math.nan)
    if longest == longest:
        return 0 < _TIMES * longest <= GOOD_STEP
    return 0 < _TIMES * max((s.rate for s in last), default=math.nan) <= HEALTHY


def _next_to_nothing(history: History) -> bool:
    """A loss has come down to a tenth of its size: a fit, though its noise has crossed zero."""
    return any(abs(level.recent) < 0.1 * abs(level.first) for level in history.losses.values())


def _rises_throughout(history: History, name: str, level: RateLevel) -> bool:
    _, rates = history.measured("learning_rate", name)
    rises = len(rates) >= _FEWEST and rates[-1] > rates[len(rates) // 2] > rates[0]
    return bool(rises) and not level.fell and level.worth <= _SLOWLY * history.step


def ascends(history: History) -> Sign | None:
    """The rate of some optimiser is below zero: no optimiser is made with such a rate, and each step climbs."""
    for name, level in history.rates.items():
        if level.ascent_step is None:
            continue
        cause = (
            f"the learning rate is below zero since step {level.ascent_step} ({level.newest:.2g} now): the schedule "
            "went on beyond its end, and every step climbs."
        )
        evidence = Evidence("learning_rate", name, history.step, level.newest, 0.0, "a descent has a rate above zero")
        where = (name,) if name else ()
        return Sign("warning", cause, (evidence,), where, level.ascent_step, (schedule_for(history.step),))
    return None


def begins_again(history: History) -> Sign | None:
    """Three times in a row the rate was set back to a quarter or less while it rose, and no loss is fit."""
    for name, level in history.rates.items():
        if level.restarts < _AGAIN or history.step < _FEWEST or fit(history):
            continue
        cause = (
            f"the warm-up begins again and again: {level.restarts} times in a row the learning rate was set back while "
            "it rose, as where optimizer or scheduler are made anew in each epoch."
        )
        source = "cycles that are meant fall before they rise again"
        evidence = Evidence("restarts of learning_rate", name, history.step, float(level.restarts), _AGAIN, source)
        return Sign("warning", cause, (evidence,), (name,) if name else (), 1, (schedule_for(history.step),))
    return None
