"""What passed and left no mark: a warning of steps or losses that have long been right again is an info at the end.

Steps that were too long, a jump, a climb are told when they are seen, for then nobody knows how it goes on. Where the
run has ended well, has shown nothing of it in all of its newer half, and its losses are at their best and below half of
where they began, it has healed by itself; so have players that once went round in circles, if what is printed is best
at the end, a validation loss that rose while a first stage saw a part of the data only, if it is best then, parameters
that no optimizer held in a first stage, if one holds them in the newer half, and a batch that was the only one in it.
What else is a fact of the script (its wiring, its start) heals by no good end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surefoot.analysis.printed_numbers import direction
from surefoot.findings.harm import harms
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.runs.schema import Finding

_MAY_HEAL = frozenset({"learning-rate-too-high", "divergence", "unsafe-step", "loss-spike"})
_OF_A_GAME = frozenset({"adversarial-rotation"})  # whose losses tell nothing of a good end: what is printed does
_OF_VALIDATION = frozenset({"overfitting"})  # may be of what a later stage was to learn
_OF_A_STAGE = frozenset({"optimizer-misses-parameters"})  # which learned what it was to learn, and no more
_OF_DATA = frozenset({"stale-batch"})  # others came
_ALL = _MAY_HEAL | _OF_A_GAME | _OF_VALIDATION | _OF_A_STAGE | _OF_DATA
_FEWEST, _LOOKS = 12, 3  # values
_FEW_BATCHES = 4
_HALF = 0.5


def healed(history: History, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those that have healed as infos without remedies."""
    told = {f.id for f in findings if f.severity != "info"} & _ALL
    if not told or not _ended(history):
        return list(findings)
    well: frozenset[str] = frozenset()
    if told & _OF_VALIDATION and (_validation_at_its_best(history) or _printed_at_its_best(history)):
        well |= _OF_VALIDATION
    if told & _OF_DATA and history.value("distinct_batches", next(iter(history.losses), "")) >= _FEW_BATCHES:
        well |= _OF_DATA
    if told & _OF_A_STAGE and _none_missed(history):
        well |= _OF_A_STAGE
    if told & (_MAY_HEAL | _OF_A_GAME) and not harms(history):
        if history.losses and all(map(_at_its_best, history.losses.values())):
            well |= _MAY_HEAL
        if told & _OF_A_GAME and _result_at_its_best(history):
            well |= _OF_A_GAME
    return [_as_info(f) if f.id in well and f.last_step <= _HALF * history.step else f for f in findings]


def _as_info(finding: Finding) -> Finding:
    if finding.severity == "info":
        return finding
    cause = f"{finding.cause} It has healed: nothing of it was seen after step {finding.last_step}."
    return replace(finding, severity="info", cause=cause, remedies=())


def _ended(history: History) -> bool:
    ended = history.events("exit")
    return bool(ended) and not (
        ended[-1].step < history.step or ended[-1].data.get("code") or ended[-1].data.get("exception")
    )


def _result_at_its_best(history: History) -> bool:
    """A number that the script prints, whose name says which way is good, is better in the newest quarter of its values
    than in any before, by their medians."""
    for name in history.wheres("printed_number"):
        _, values = history.measured("printed_number", name)
        if direction(name) and len(values) >= _FEWEST:
            *before, now = (float(np.median(part)) for part in np.array_split(direction(name) * values, 4))
            return now > max(before)
    return False


def _printed_at_its_best(history: History) -> bool:
    """The same of what is printed, where no validation loss was seen."""
    seen = any(len(history.measured("validation_loss", where)[1]) for where in history.wheres("validation_loss"))
    return not seen and _result_at_its_best(history)


def _none_missed(history: History) -> bool:
    """At the newest looks some optimizer holds all that the loss depends on."""
    missed = history.measured("missed_parameters")[1]
    return len(missed) >= _LOOKS and not missed[-_LOOKS:].any()


def _validation_at_its_best(history: History) -> bool:
    """Each validation loss is lower in the newest quarter of its evaluations, by their median, than it was at any in
    the first half."""
    found = [history.measured("validation_loss", where)[1] for where in history.wheres("validation_loss")]
    return bool(found) and all(
        len(values) >= _FEWEST and np.median(values[-(len(values) // 4) :]) < values[: len(values) // 2].min()
        for values in found
    )


def _at_its_best(level: LossLevel) -> bool:
    return level.count > 0 and not level.negative and level.near_best and level.recent < _HALF * level.first
