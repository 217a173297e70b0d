"""A schedule that was made for epochs, say, and is called for each batch: it ends when the run has hardly begun.

What is left then may be a tenth of the rate, at which a run goes on learning, only ten times as slowly. That the
schedule's own end, which the scheduler tells, lies in the first tenth of the run is what no schedule is made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefoot.findings.history import History
from surefoot.findings.progress import fit
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy

_FEWEST = 64  # steps, as for any other schedule
_TIMES = 10.0  # calls so far, in those that the schedule was made for
_LESS = 0.25  # of the highest rate: what is left is another rate, not the tail of one
_ENDS = {"MultiStepLR": "fades", "LinearLR": "horizon", "PolynomialLR": "horizon"}
_SOURCE = "the calls that the schedule was made for; it ended in the first tenth of the run"


def ended_early(history: History, found: Mapping[str, Any], cures: tuple[Remedy, ...]) -> Sign | None:
    """A schedule downwards is over, ten times as many calls as it was made for have come, a quarter of the highest rate
    is left at most, and no loss is fit: warning."""
    end = found.get(_ENDS.get(found["type"], ""))
    name, level = found["name"], history.rates.get(found["optimizer"] or "")
    if not end or found["inner"] or level is None or history.step < _FEWEST or fit(history):
        return None
    steps, counts = history.measured("scheduler_steps", name)
    if not len(counts) or not counts[-1] >= _TIMES * end or not 0 < level.newest <= _LESS * level.peak:
        return None
    began = int(steps[0])
    evidence = (Evidence("scheduler_steps", name, history.step, float(counts[-1]), _TIMES * float(end), _SOURCE),)
    cause = (
        f"{name} was made for {end:g} steps and has been stepped {counts[-1]:.0f} times: the learning rate was down "
        f"from {level.peak:.3g} to {level.newest:.2g} when the run had hardly begun."
    )
    where = (found["optimizer"],) if found["optimizer"] else ()
    return Sign("warning", cause, evidence, where, began, cures)
