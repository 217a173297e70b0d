"""Run the rules over a record, live or afterwards: signs become findings, findings get causes and ranks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.findings.beside import beside
from surefoot.findings.causes import order
from surefoot.findings.healed import healed
from surefoot.findings.history import EventLike, History
from surefoot.findings.ignoring import Ignored, told
from surefoot.findings.own_names import in_own_words
from surefoot.findings.ranks import joined_rows, with_others
from surefoot.findings.rule import Rule, Sign, all_rules
from surefoot.runs.reader import Run, open_run
from surefoot.runs.schema import SEVERITIES, Evidence, Family, Finding, Remedy, Severity


@dataclass(slots=True)
class _Open:
    """A finding while the run goes on."""

    id: str
    severity: Severity
    first_step: int
    detected_step: int
    last_step: int
    where: tuple[str, ...]
    cause: str
    remedies: tuple[Remedy, ...]
    crossing: tuple[Evidence, ...]  # of the first sign at warning or above
    newest: tuple[Evidence, ...]  # of the newest sign at the highest severity

    def take(self, step: int, sign: Sign) -> None:
        self.last_step = step
        rank, before = SEVERITIES.index(sign.severity), SEVERITIES.index(self.severity)
        if rank < before:
            return
        if before == 0 and rank > 0:
            # it reaches warning only now: it is from here on that it counts as detected
            self.detected_step, self.crossing = step, sign.evidence
        self.severity, self.cause, self.newest = sign.severity, sign.cause, sign.evidence
        self.where = sign.where or self.where
        self.remedies = sign.remedies or self.remedies


class Engine:
    """Feed it rows step by step; read ``findings`` at any time.

    Parameters
    ----------
    rules : the rules to run; default all that are registered (see :func:`surefoot.findings.all_rules`).
    ignored : findings that are not to be told, as ``ID`` or ``ID@module``; module is a glob such as ``encoder.*``.

    Notes
    -----
    Causal by construction: rules see a :class:`History` of what was fed and nothing else. A rule that raises is
    switched off and noted in ``notes``; the others go on.
    """

    def __init__(self, rules: Iterable[Rule] | None = None, ignored: Iterable[str] = ()) -> None:
        self.history = History()
        self.notes: list[str] = []
        self._ignored = tuple(map(Ignored.parse, ignored))
        self._rules = list(all_rules() if rules is None else rules)
        self._open: dict[str, _Open] = {}
        self._fresh: dict[str, None] = {}  # families with a row at this step, in order
        self._due: dict[tuple[str, ...], list[Rule]] = {}
        self._ranked: tuple[Finding, ...] | None = ()

    def feed_event(self, event: EventLike) -> None:
        """Take in one event of the step now running; rules that need ``"events"`` run at its end."""
        self.history.feed_event(event)
        self._fresh["events"] = None
        self._ranked = None  # at its end a run is judged once more as a whole

    def feed(self, step: int, family: Family, values: np.ndarray) -> None:
        """Take in one row: float32, as many values as the family has columns."""
        self.history.feed(step, family, values)
        self._fresh[family.name] = None

    def end_step(self, step: int) -> None:
        """Run the rules whose families got a row in this step, and update the findings."""
        fresh = tuple(self._fresh)
        if not fresh:
            return
        due = self._due.get(fresh)
        if due is None:
            due = self._due[fresh] = [r for r in self._rules if not set(fresh).isdisjoint(r.needs)]
        self._fresh = {}
        self.history.step = step
        for rule in due:
            if rule.beside and self._told(rule.id):
                continue
            try:
                sign = rule.check(self.history)
                if sign is not None and self._ignored:
                    sign = told(rule.id, sign, self._ignored)
                if sign is not None:
                    self._take(step, rule.id, sign)
            except Exception as error:  # a faulty rule must cost its own finding only
                self._switch_off(rule, error)

    def feed_all(self, rows: Iterable[tuple[int, Family, np.ndarray]], events: Iterable[EventLike] = ()) -> None:
        """Take in complete steps: rows ordered by step and then by family, events in any order.

        Steps must not have been fed before. Live and offline come through here, so both give the same findings.
        """
        for step, items in groupby(_merge(rows, events, self.history.step), key=lambda item: item[0]):
            for _, item in items:
                if isinstance(item, tuple):
                    self.feed(step, *item)
                else:
                    self.feed_event(item)
            self.end_step(step)

    def _take(self, step: int, id: str, sign: Sign) -> None:
        self._ranked = None
        found = self._open.get(id)
        if found is not None:
            found.take(step, sign)
            return
        began = step if sign.first_step is None else min(step, max(0, sign.first_step))
        self._open[id] = _Open(
            id, sign.severity, began, step, step, sign.where, sign.cause, sign.remedies, sign.evidence, sign.evidence
        )

    def _told(self, id: str) -> bool:
        found = self._open.get(id)
        return found is not None and found.severity != "info"

    def _switch_off(self, rule: Rule, error: Exception) -> None:
        self._rules = [r for r in self._rules if r is not rule]
        self._due = {}
        self.notes.append(f"rule {rule.id} is off after {type(error).__name__}: {error}")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings so far, rank 1 (the most probable root cause) first."""
        if self._ranked is None:
            names = next(iter(self.history.events("names")[-1:]), None)
            closed = [_close(found, names) for found in self._open.values()]
            self._ranked = beside(order(healed(self.history, closed)))
        return self._ranked


def _close(found: _Open, names: EventLike | None) -> Finding:
    evidence = found.newest + tuple(e for e in found.crossing if e not in found.newest)
    return Finding(
        id=found.id,
        severity=found.severity,
        rank=0,
        first_step=found.first_step,
        detected_step=found.detected_step,
        last_step=found.last_step,
        where=found.where,
        cause=found.cause,
        because_of=None,
        evidence=evidence,
        # an info calls for nothing
        remedies=() if found.severity == "info" else tuple(in_own_words(r, names) for r in found.remedies),
        confidence=_precision().get(found.id),
    )


@lru_cache(maxsize=1)
def _precision() -> dict[str, float]:
    """Precision of each rule on the clinic's held-out third, where it was measured: the file has the counts, of scripts
    in which it was right and in which it was told. The estimate from few is Laplace's, (right + 1) / (told + 2): what
    was right in one script of one is not sure."""
    path = Path(__file__).with_name("precision.json")
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        return {str(id): (right + 1) / (told + 2) for id, (right, told) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def diagnose(run: Run | str | Path) -> tuple[Finding, ...]:
    """Recompute the findings of a recorded run with the rules of this installation; what the run ignored stays so.

    Parameters
    ----------
    run : a run from :func:`surefoot.open_run`, or the path of a run folder; of a distributed run, all ranks are judged
        together unless a rank other than 0 was opened.

    Returns
    -------
    tuple of Finding
        Rank 1 first; empty for a run with nothing to report.
    """
    if isinstance(run, str | Path):
        run = open_run(run)
    ignored = run.meta.get("ignore") or ()
    engine = Engine(ignored=ignored)
    others = [rank for rank in run.ranks if rank != run.rank] if run.rank == 0 else []
    if not others:
        engine.feed_all(run.rows(), run.events())
        return engine.findings
    engine.feed_all(joined_rows(run, others), run.events())
    theirs: dict[int, tuple[Finding, ...]] = {}
    for rank in others:
        other, its = open_run(run.path, rank), Engine(ignored=ignored)
        its.feed_all(other.rows(), other.events())
        theirs[rank] = its.findings
    return order(with_others(engine.findings, theirs))


def _merge(
    rows: Iterable[tuple[int, Family, np.ndarray]], events: Iterable[EventLike], now: int = 0
) -> Iterator[tuple[int, tuple[Family, np.ndarray] | EventLike]]:
    """By step, and within a step events first; an event that comes late counts from ``now`` on."""
    waiting = sorted(events, key=lambda event: event.step)
    at = 0
    for step, family, values in rows:
        while at < len(waiting) and waiting[at].step <= step:
            yield max(now, waiting[at].step), waiting[at]
            at += 1
        yield step, (family, values)
    for event in waiting[at:]:
        yield max(now, event.step), event
