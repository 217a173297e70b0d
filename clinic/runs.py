"""One script under ``surefoot run``: recorded once, judged again whenever the rules have changed.

Each run has a folder, ``runs/KIND/NAME/SEED``, with the record, what the script printed, and two keys: what the record
depends on, and what its findings depend on. A run whose keys still hold is read and not run again, so that a stopped
clinic goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import sources
from cases import Case
from harm import Curve
from metric import Printed, badness, read

HOME = Path("surefoot-clinic")
_SEVERAL = 1.5  # recorded steps for each that is printed; nearer to one, a run just goes on after its last line
TIMEOUT = 900.0  # seconds; a script takes 20 at most, on a machine that others use it may wait


@dataclass(frozen=True)
class Job:
    """One run to make.

    Attributes
    ----------
    case : whose it is
    seed : the script's ``--seed``
    folder : where the run is kept
    script : the script to run, which for a cure is a changed copy of the case's
    options : further options of ``surefoot run``
    recorder, judge : the source that records and that judges, as hashes
    """

    case: Case
    seed: int
    folder: Path
    script: Path
    options: tuple[str, ...] = ()
    recorder: str = field(default_factory=sources.recording)
    judge: str = field(default_factory=sources.judging)

    @property
    def key(self) -> str:
        """What the record depends on."""
        parts = (self.script.read_text(encoding="utf-8"), self.seed, self.options, self.case.ranks, self.recorder)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]

    def __str__(self) -> str:
        return f"{self.folder.parts[-3]}/{self.case.name} seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes
    ----------
    findings : those of the diagnosis, rank 1 first
    steps, code, exception, seconds : how long it ran and how it ended
    overhead : what watching cost, as in ``diagnosis.json``
    losses : the recorded loss of each optimiser
    printed : the script's own number
    better : which way that number gets better
    trouble : why the run tells nothing; None if it does
    """

    findings: tuple[dict[str, Any], ...]
    steps: int
    code: int | None
    exception: str | None
    seconds: float
    overhead: dict[str, Any]
    losses: dict[str, Curve]
    printed: Printed
    better: str
    trouble: str | None = None

    @property
    def serious(self) -> tuple[dict[str, Any], ...]:
        """The findings above info."""
        return tuple(finding for finding in self.findings if finding["severity"] != "info")

    @property
    def badness(self) -> np.ndarray:
        """The script's own number, turned so that less is better."""
        return badness(self.printed.values, "min" if self.better == "min" else "max")

    @property
    def metric(self) -> Curve:
        """The same by step; where the lines name none, they are taken as evenly spread over the run."""
        values, steps = self.badness, self.printed.steps
        even = np.linspace(0, self.steps, len(values) + 1)[1:].round().astype(int)
        return Curve(even if steps is None else np.array(steps), values)

    def recorded(self, named: int) -> int:
        """The recorded step at which a printed line names step ``named``: a script that makes several steps of an
        optimiser in one of its own (a game's rounds) counts fewer than are recorded."""
        last = self.printed.steps[-1] if self.printed.steps else 0
        return round(named * self.steps / last) if 0 < _SEVERAL * last <= self.steps else named


def job(case: Case, seed: int, home: Path, options: tuple[str, ...] = ()) -> Job:
    """The run of a case as it is."""
    return Job(case, seed, home / "runs" / case.kind / case.name / str(seed), case.path, options)


def is_recorded(work: Job, any_version: bool = False) -> bool:
    """Whether the run is there, came to its own end, and nothing that it depends on has changed since."""
    kept = _json(work.folder / "kept.json")
    if kept is None or kept["code"] is None or kept["code"] < 0:  # killed, by the clock or by a signal
        return False
    return any_version or kept["key"] == work.key


def outcome(work: Job, any_version: bool = False) -> Outcome:
    """Run and judge what is not kept; read the rest.

    ``any_version`` takes the record that is there, whatever surefoot made it; findings are always of the present rules.
    """
    if not is_recorded(work, any_version):
        _record(work)
    return _read(work)


def _record(work: Job) -> None:
    shutil.rmtree(work.folder, ignore_errors=True)
    work.folder.mkdir(parents=True)
    key = work.key  # before the run: the script may be edited meanwhile
    launcher = [sys.executable, "-m"]
    if work.case.ranks > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(work.case.ranks), "-m"]
    options = ["--out", str(work.folder / "run"), "--quiet", "--no-report", *work.options]
    command = [*launcher, "surefoot", "run", *options, str(work.script), "--seed", str(work.seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    begun = time.monotonic()
    with (work.folder / "output.txt").open("wb") as output, (work.folder / "errors.txt").open("wb") as errors:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, timeout=TIMEOUT
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    seconds = time.monotonic() - begun
    live = _json(work.folder / "run" / "diagnosis.json")
    if live is not None and work.case.ranks == 1:  # several ranks are judged together, once all have ended
        _write(work.folder / "judged.json", {"key": work.judge, "findings": live["findings"]})
    _write(work.folder / "kept.json", {"key": key, "code": code, "seconds": seconds})


def _read(work: Job) -> Outcome:
    kept = _json(work.folder / "kept.json")
    assert kept is not None
    output = (work.folder / "output.txt").read_text(encoding="utf-8", errors="replace")
    printed = read(output, work.case.metric)
    diagnosis = _json(work.folder / "run" / "diagnosis.json")
    trouble = None
    if kept["code"] is None:
        trouble = f"did not end within {TIMEOUT:g} s"
    elif diagnosis is None:
        trouble = f"left no diagnosis (exit code {kept['code']}): {_last_line(work.folder / 'errors.txt')}"
    elif work.case.kind == "healthy" and diagnosis["steps"] == 0 and not diagnosis["findings"]:
        # a healthy script that takes no step is none; a faulty one in which nothing is seen is one that was missed
        trouble = "took no step of an optimizer that was seen"
    elif not printed.values:
        trouble = f"printed no line with '{work.case.metric} NUMBER'"
    elif kept["code"] != 0 and work.case.kind != "faulty":
        trouble = f"ended with exit code {kept['code']}: {_last_line(work.folder / 'errors.txt')}"
    losses = _losses(work.folder / "run") if diagnosis is not None else {}
    diagnosis = diagnosis or {"steps": 0, "exit": {"exception": None}, "overhead": {}}
    return Outcome(
        findings=tuple(_findings(work)) if trouble is None else (),
        steps=diagnosis["steps"],
        code=kept["code"],
        exception=diagnosis["exit"]["exception"],
        seconds=kept["seconds"],
        overhead=diagnosis["overhead"],
        losses=losses,
        printed=printed,
        better=work.case.better,
        trouble=trouble,
    )


def _losses(folder: Path) -> dict[str, Curve]:
    """The loss of each optimiser at the steps at which it was measured; one that is not a number is infinite."""
    from surefoot import open_run
    from surefoot.report.record import Record

    record = Record(open_run(folder))
    signal = record.signal("loss")
    losses = {}
    for where in signal.wheres if signal is not None else ():
        values = np.where(record.nonfinite(signal, where), np.inf, signal.at(where))
        measured = ~np.isnan(values)
        losses[where] = Curve(signal.steps[measured], values[measured])
    return losses


def _findings(work: Job) -> list[dict[str, Any]]:
    """Those of the present rules: as the run left them, or judged again."""
    from surefoot import diagnose

    judged = _json(work.folder / "judged.json")
    if judged is None or judged["key"] != work.judge:
        judged = {
            "key": work.judge,
            "findings": [finding.to_json() for finding in diagnose(work.folder / "run")],
        }
        _write(work.folder / "judged.json", judged)
    return judged["findings"]


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no word on stderr"


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, value: dict[str, Any]) -> None:
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(json.dumps(value), encoding="utf-8")
    os.replace(scratch, path)
