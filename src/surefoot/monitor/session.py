"""One live run: what observe sees goes to the record and to the rules, and at the end to diagnosis and report."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.interpose import Interposer
from surefoot.apply.settings import Choice
from surefoot.findings import Engine, diagnose
from surefoot.monitor import diagnosis, ranks
from surefoot.monitor.environment import mask_arguments, surroundings
from surefoot.monitor.logged import Logged
from surefoot.monitor.stop import Stopper, tell_on_stderr
from surefoot.observe.budget import Budget
from surefoot.observe.later import Later
from surefoot.observe.observer import Observer
from surefoot.observe.patches import Patches
from surefoot.runs import Event, RunWriter
from surefoot.runs.schema import Family, Finding
from surefoot.runs.signals import SIGNALS

_OF_A_STEP = ("curvature", "safe step")  # dear readings that make no sense, or have a command, where none is taken
# Rows of the record that may wait to be judged: to judge as many at a run's end takes a second or two.
MOST_WAITING = 4096
FIRST_ROW_COST = 1e-3  # seconds of judging a row, before it was measured: the first ones load the rules
_open_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """Watches this process until :meth:`close`.

    Parameters
    ----------
    folder : the run's folder; made if missing
    script, argv : what is told of the command line; secrets among the arguments are masked
    budget : share of step time that watching may cost
    look_every : look at every how-manieth step, whatever it costs; None keeps to the budget
    means : force one means of looking at activations
    resume : continue the record in ``folder``
    models, optimizers : watch these only; None finds what the script trains
    on_finding : called with each finding that is new or has risen to a higher severity
    ignore : findings that are not to be told, as ``ID`` or ``ID@module``
    stop_on : ``"critical"`` or ids of findings that end the run; see :class:`surefoot.monitor.stop.Stopper`
    rules : where rules of the user's own were imported from, for the record
    keep_samples : store the few rows of the script's inputs that a finding may name; else none ever is
    apply : remedies to put in place: what is watched then is the cured run
    inspected : options of ``surefoot inspect``: one step is looked at, as step 0, and not taken; None for a run
    """

    def __init__(
        self,
        folder: Path,
        *,
        script: str,
        argv: Sequence[str] = (),
        budget: float = 0.02,
        look_every: int | None = None,
        means: str | None = None,
        resume: bool = False,
        models: Sequence[nn.Module] | None = None,
        optimizers: Sequence[Optimizer] | None = None,
        on_finding: Callable[[Finding], None] | None = None,
        ignore: Sequence[str] = (),
        stop_on: str | None = None,
        rules: Sequence[str] = (),
        keep_samples: bool = False,
        apply: Sequence[Choice] = (),
        inspected: Sequence[str] | None = None,
        started: float | None = None,
    ) -> None:
        begin = time.perf_counter() if started is None else started
        self.folder = Path(folder)
        self.script = script
        self.argv = mask_arguments(argv)
        self.on_finding = on_finding
        self.budget = Budget(budget, look_every) if inspected is None else Budget(every=1, without=_OF_A_STEP)
        self.engine = Engine(ignored=ignore)
        self.closed = False
        self._heard = on_finding is not None or stop_on is not None
        self._row_cost = FIRST_ROW_COST
        self._told: dict[str, str] = {}
        self._refused: set[str] = set()
        self._rows: list[tuple[int, Family, np.ndarray]] = []
        self._events: list[Event] = []
        self._pid = os.getpid()
        about = surroundings()
        self.rank = ranks.rank()
        self.writer = RunWriter(self.folder, rank=self.rank, resume=resume)
        self.writer.meta(
            script=script,
            argv=self.argv,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            budget=budget,
            look_every=look_every,
            means=means,
            ignore=list(ignore),
            stop_on=stop_on,
            rules=list(rules),
            **({"apply": list(map(str, apply))} if apply else {}),
            **({} if inspected is None else {"inspected": True, "options": list(inspected)}),
            **about,
        )
        self.writer.flush()
        keep = self.writer.blob if keep_samples else None
        many, first = ranks.world_size() > 1, 1 if inspected is None else 0
        self.observer = Observer(self, self.budget, means, models, optimizers, ranks=many, keep=keep, first=first)
        if inspected is not None:
            self.event(0, "inspected")
        self._logged = Logged(Later())
        self._patches = Patches(self.observer)
        if inspected is None:
            self.observer.printed.listen()
        self._stopper = None
        if stop_on is not None:
            self._stopper = Stopper(stop_on, self.observer, lambda: self.engine.findings, self._stopped)
        self._interposer: Interposer | None = None
        if apply:
            self.apply(apply, models)
        _open_sessions.add(self)
        self.startup_s = time.perf_counter() - begin

    def apply(self, choices: Sequence[Choice], models: Sequence[nn.Module] | None = None) -> None:
        """Put remedies in place, once a run.

        Raises
        ------
        ValueError
            If there are some in place.
        """
        if self._interposer is not None:
            raise ValueError("apply: this run has remedies in place already; name them all at once")
        observer = self.observer
        desk = Desk(
            observer.tell,
            self.writer.offset,
            observer.leave_out,
            observer.validation.told.append,
            observer.end_evaluation,
        )
        self._interposer = Interposer(choices, desk, self.observer.follows, models)

    # -- what the observer hands over --------------------------------------------------------------------------------

    def row(self, step: int, family: Family, values: np.ndarray) -> None:
        """Take one finished row."""
        self.writer.row(step, family, values)
        self._rows.append((step + self.writer.offset, family, values))

    def event(self, step: int, kind: str, /, **data: Any) -> None:
        """Take one event."""
        self.writer.event(step, kind, **data)
        self._events.append(Event(step + self.writer.offset, kind, data))

    def log(self, name: str, value: Any, where: str) -> None:
        """Take a number of the user's own, of the steps taken so far."""
        if name in SIGNALS:
            if name not in self._refused:
                self._refused.add(name)
                self.observer.tell("note", text=f"log({name!r}) is left out: surefoot has a signal of this name")
            return
        self._logged.put(self.observer.clock.steps, name, value, where)

    def flush(self) -> None:
        """Commit the record, and let the rules see what is new: where somebody is told at once, or the budget has it to
        spare, or much has come together; else what is new waits."""
        waiting = len(self._rows)
        if self._heard or waiting > MOST_WAITING or self.budget.spares(waiting * self._row_cost):
            begin = self.budget.now()
            self._judge_complete()
            if waiting:
                self._row_cost = (self.budget.now() - begin) / waiting
        self.writer.flush()

    def _judge_complete(self) -> None:
        self._judge(self._rows[-1][0] - self.writer.offset if self._rows else 0)

    def _judge(self, until: int | None) -> None:
        """Feed the steps that are complete, up to ``until``, to the rules, in the order of a reader of the record."""
        until = self._logged.complete(until)
        for step, family, values in self._logged.rows(until):
            self.row(step, family, values)
        rows, events = self._rows, self._events
        rows.sort(key=lambda row: (row[0], row[1].name))  # stable: a family that was laid out anew comes second
        self._rows, self._events = [], []
        if until is not None:
            until += self.writer.offset
            self._rows = [row for row in rows if row[0] > until]
            self._events = [e for e in events if e.step > until]
            rows = [row for row in rows if row[0] <= until]
            events = [e for e in events if e.step <= until]
        self.engine.feed_all(rows, events)
        if self.on_finding is not None:
            self._tell()

    def _stopped(self, text: str) -> None:
        self.event(self.observer.clock.steps, "note", text=text)
        tell_on_stderr(text)

    def _tell(self) -> None:
        for finding in self.engine.findings:
            if self._told.get(finding.id) != finding.severity:
                self._told[finding.id] = finding.severity
                try:
                    self.on_finding(finding)  # type: ignore[misc]
                except Exception as error:
                    self.on_finding = None
                    text = f"on_finding raised {type(error).__name__}: {error}; it is not called again"
                    self.observer.tell("note", text=text)
                    return

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far, most probable root cause first."""
        if self.closed and (self.writer.offset or ranks.world_size() > 1):
            # the first part of a continued record, and other ranks', were judged by other processes: judge the whole
            return diagnose(self.folder)
        if not self.closed:
            self._judge_complete()
        return self.engine.findings

    # -- the end -----------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """This process is a fork of the watched one: leave it alone."""
        if not self.closed:
            self.closed = True
            self.observer.drop()
            self._take_away()

    def close(self, code: int | None = 0, exception: str | None = None, report: bool = True) -> dict[str, Any] | None:
        """End the run: last words, diagnosis, report. Returns the diagnosis; None when it was closed before."""
        if self.closed or os.getpid() != self._pid:
            return None
        self.closed = True
        begin = time.perf_counter()
        if self._interposer is not None:
            self._interposer.close(self.observer.clock.steps)
        self._take_away()
        self.observer.close()
        self.event(self._steps, "exit", code=code, exception=exception)
        self._judge(None)
        for note in self.engine.notes:
            self.event(self._steps, "note", text=note)
        self.writer.close()
        if self.rank:  # what there is to tell is told by rank 0
            with self._told_if_failing("diagnosis.json"):
                ranks.join_late(self.folder, code, exception)
            return None
        alone = ranks.world_size() == 1
        seen = [] if alone else ranks.closed_at(self.folder)
        findings = self.findings  # of a continued record, the whole is judged here: once
        result = self._write_diagnosis(findings, code, exception, begin)
        if report:
            with self._told_if_failing("report"):
                from surefoot.report import html
                from surefoot.runs import open_run

                html.write(open_run(self.folder), self.folder / "report.html")
            result = self._write_diagnosis(findings, code, exception, begin)
        if not alone and ranks.closed_at(self.folder) != seen:
            # a rank that closed while this one judged found no diagnosis to join, and is in none so far
            result = self._write_diagnosis(self.findings, code, exception, begin)
        return result

    @property
    def _steps(self) -> int:
        """Steps that were taken."""
        return max(0, self.observer.clock.steps)

    def _take_away(self) -> None:
        if self._interposer is not None:
            self._interposer.remove()
        self._patches.remove()
        if self._stopper is not None:
            self._stopper.remove()

    def save(self) -> None:
        """Commit what there is, quickly: the process is about to be ended by a signal."""
        if not self.closed and os.getpid() == self._pid:
            if self._interposer is not None:
                self._interposer.close(self.observer.clock.steps)
            self.observer.close()
            self._judge(None)
            self.writer.close()
            self.closed = True

    def _write_diagnosis(
        self, findings: Sequence[Finding], code: int | None, exception: str | None, begin: float
    ) -> dict[str, Any]:
        budget = self.budget
        result = diagnosis.build(
            script=self.script,
            argv=self.argv,
            steps=self.writer.offset + self._steps,
            code=code,
            exception=exception,
            overhead={
                "budget": budget.fraction,
                "startup_s": round(self.startup_s, 3),
                "credit_s": round(budget.credit_spent, 3),
                "steady": round(budget.steady, 5),
                "closing_s": round(time.perf_counter() - begin, 3),
                "looks": dict(self.observer.looks),
            },
            findings=findings,
            applied={} if self._interposer is None else self._interposer.summaries(),
        )
        with self._told_if_failing("diagnosis.json"):
            diagnosis.write(self.folder, result)
        return result

    @contextlib.contextmanager
    def _told_if_failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            print(f"surefoot: {what} was not written: {type(error).__name__}: {error}", file=sys.stderr)


def _after_fork() -> None:
    for session in list(_open_sessions):
        session.forget()


os.register_at_fork(after_in_child=_after_fork)


def free_folder(parent: Path, script: str) -> Path:
    """``parent/<script>-<time>``, with a number behind it where that exists."""
    base = parent / f"{Path(script).stem or 'run'}-{datetime.now():%Y%m%d-%H%M%S}"
    folder, number = base, 2
    while folder.exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder
