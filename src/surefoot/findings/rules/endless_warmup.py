"""A warm-up that is as long as the run: counted in steps where epochs were meant, or made for another run.

A warm-up ends where the steps have their length; a run that is over while its rate still rises as it did from the first
step has had half of that rate on average, or far less.
"""

from __future__ import annotations

import math

from surefoot.findings.history import History
from surefoot.findings.progress import fit
from surefoot.findings.rates import RateLevel
from surefoot.findings.rule import Sign
from surefoot.findings.rules.schedule_cures import schedule_for
from surefoot.findings.slower import GOOD_STEP
from surefoot.runs.schema import Evidence

_FEWEST = 64  # steps, as for any other schedule
_SLOWLY = 2 / 3  # of its last rate, on average over the run: what rises as the root of its steps has that
_TIMES = 4.0  # so many times as long, its last steps would have been good ones still
_SOURCE = "the run is over, and its rate was never as high as in its last step"


def endless_warmup(history: History) -> Sign | None:
    """The run is over without an error, its rate rose to the end and never fell, was two thirds of the last on average
    at most, no loss is fit, and steps four times as long as the last would have been good."""
    last = history.events("exit")
    if not last or last[-1].data.get("code") or last[-1].data.get("exception") or fit(history):
        return None
    for name, level in history.rates.items():
        pace = history.paces.get(name)
        if pace is None or history.step < _FEWEST or not _rises_throughout(history, name, level):
            continue
        longest = max((s.overshoot for s in pace.last(4)), default=math.nan)
        if not 0 < _TIMES * longest <= GOOD_STEP:
            continue
        cause = (
            f"the learning rate rises to the end: it is {level.newest:.3g} at step {history.step}, the last: "
            "the warm-up is as long as the run, or was made for a longer one."
        )
        evidence = Evidence("learning_rate", name, history.step, level.newest, level.peak, _SOURCE)
        return Sign("warning", cause, (evidence,), (name,) if name else (), 1, (schedule_for(history.step),))
    return None


def _rises_throughout(history: History, name: str, level: RateLevel) -> bool:
    _, rates = history.measured("learning_rate", name)
    rises = len(rates) >= _FEWEST and rates[-1] > rates[len(rates) // 2] > rates[0]
    return bool(rises) and not level.fell and level.worth <= _SLOWLY * history.step
