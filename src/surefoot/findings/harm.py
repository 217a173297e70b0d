"""Harm that shows by itself: what the run is for was better before, and stays worse.

Training is done to make some number better: one that the script prints under a name that says which way is good, the
loss of held-out data, the loss itself. Where it has lost a quarter of all that it had gained, beyond its noise, and
for as long as a tenth of the run so far, something has gone wrong, or the task has changed; no healthy run is meant to
go there. What has, the signals tell that changed at that time: see :mod:`surefoot.findings.rules.what_changed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from surefoot.analysis.printed_numbers import direction, held_out
from surefoot.findings.history import History
from surefoot.findings.levels import EARLY
from surefoot.findings.progress import one_loss
from surefoot.findings.scatter import scatter
from surefoot.findings.turned import Turned, first_way, told_by_rewards
from surefoot.runs.schema import Evidence

_FEWEST = 9  # values: three that began, three that were best, three that are worse
_LOST = 0.25  # of what was gained
_GAINED, _BEYOND = 2.0, 4.0  # times the noise
_HALF = 0.5
_STILL = 0.25  # of what is lost: up to there it was as good as at its best


@dataclass(frozen=True)
class Harm:
    """A number that was best at ``step``, as good until ``since``, and is worse at all times after.

    ``signal`` is what it is recorded as, ``name`` where; ``first``, ``best`` and ``now`` are medians of its values, and
    ``until`` is when one of these by itself was as good at last, ``since`` at the latest.
    """

    signal: str
    name: str
    first: float
    step: int
    best: float
    until: int
    since: int
    now: float

    @property
    def words(self) -> str:
        """What got worse, from what to what."""
        what = {"loss": "the training loss", "validation_loss": "the validation loss"}.get(
            self.signal, f"what the script prints as {self.name}"
        )
        return f"{what} went from {self.best:.3g} (step {self.step}) to {self.now:.3g}"

    def evidence(self, step: int) -> Evidence:
        """The number as it stands at ``step``."""
        source = "its own best: a quarter of what it had gained is lost"
        return Evidence(self.signal, self.name, step, self.now, self.best, source)


def harms(history: History) -> tuple[Harm, ...]:
    """All numbers that have turned so, those that the script prints first."""
    return history.once("harms", lambda: tuple(_found(history)))


def turned_late(history: History) -> Turned | None:
    """The first printed number with such harm, as ``turned`` tells of one that was best earlier or has more values."""
    for harm in harms(history):
        if harm.signal == "printed_number":
            return Turned(harm.name, harm.first, harm.step, harm.best, harm.now, harm.best)
    return None


def _found(history: History) -> Iterator[Harm]:
    for name in history.wheres("printed_number"):
        steps, values = history.measured("printed_number", name)
        way = direction(name) or (held_out(name) and len(values) and first_way(values))
        if way:
            found = _turned(steps, values, -int(way))
            if found is not None:
                yield Harm("printed_number", name, *found)
    for name in history.wheres("validation_loss"):
        found = _turned(*history.measured("validation_loss", name), 1)
        if found is not None:
            yield Harm("validation_loss", name, *found)
    # of a policy or of a game the loss tells nothing
    if not history.losses or not one_loss(history) or told_by_rewards(history):
        return
    name, level = next(iter(history.losses.items()))
    if level.negative or not level.low > level.best + _LOST * (level.first - level.best):
        return
    steps, losses = history.measured("loss", name)
    ours = steps >= level.first_step  # a stage of its own begins anew
    found = _turned(steps[ours], losses[ours], 1)
    if found is not None and np.count_nonzero(steps[ours] <= found[1]) > EARLY:  # it had found its feet
        yield Harm("loss", name, *found)


def _turned(steps: np.ndarray, values: np.ndarray, sign: int) -> tuple[float, int, float, int, int, float] | None:
    """First, step of the best, best, until, since and now, if the values (worse: higher, times ``sign``) turned."""
    if len(values) < _FEWEST:
        return None
    bad = sign * values
    width = max(3, len(bad) // 10)
    middles = np.median(np.lib.stride_tricks.sliding_window_view(bad, width), axis=1)
    at = steps[width - 1 :]
    best = int(middles.argmin())
    if len(middles) - 1 - best < width:
        return None
    noise = scatter(np.diff(bad))
    gained = float(middles[0] - middles[best])
    now = min(float(middles[-1]), float(np.median(bad[-2 * width :])))
    lost = now - float(middles[best])
    # What was good from the beginning has gained nothing that a quarter of it could be lost: it is half of a reward
    # (whose zero says nothing of its size), and of an error as much again.
    was = abs(float(middles[best]))
    size = was if sign > 0 else _HALF * was if was else np.inf
    much = _LOST * gained if gained > _GAINED * noise else size
    if lost <= max(much, _BEYOND * noise):
        return None
    good = middles[best] + _STILL * lost
    since = int(np.flatnonzero(middles <= good)[-1])
    until = max(int(at[best]), int(steps[np.flatnonzero(bad[: since + width] <= good)[-1]]))
    first, least = float(sign * middles[0]), float(sign * middles[best])
    return first, int(at[best]), least, until, int(at[since]), sign * now
