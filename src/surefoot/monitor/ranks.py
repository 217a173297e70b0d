"""One of several processes that train together: which rank it is, where all of them record, who writes the diagnosis.

Ranks share a folder and nothing else: no collective is issued, none waits for another.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from surefoot.findings import diagnose
from surefoot.monitor import diagnosis
from surefoot.runs import open_run
from surefoot.runs.schema import verdict
from surefoot.runs.store import ranks_in, record_path


def world_size() -> int:
    """How many processes train together, as their launcher says."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def rank() -> int:
    """Which of them this is; 0 for a process on its own."""
    return int(os.environ.get("RANK") or 0) if world_size() > 1 else 0


def shared_folder(parent: Path, script: str, record: str) -> Path:
    """A folder that all ranks of one launch come to by themselves: ``parent/<script>-<time their launcher started>``.

    On several machines launchers start at different times: there the job's id, if it has one, takes the time's place.
    A folder that holds ``record``, this rank's file, is one of another launch.
    """
    stem = Path(script).stem or "run"
    job = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    machines = int(os.environ.get("GROUP_WORLD_SIZE") or 1)
    name = job if machines > 1 and job not in ("", "none") else f"{_launched():%Y%m%d-%H%M%S}"
    attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)
    base = parent / (f"{stem}-{name}" + (f"-restart{attempt}" if attempt else ""))
    folder, number = base, 2
    while (folder / record).exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder


def _launched() -> datetime:
    """When the process that started this one was itself started, which is the same for all ranks on a machine."""
    try:
        ticks = float(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
        booted = next(float(line.split()[1]) for line in lines if line.startswith("btime"))
        return datetime.fromtimestamp(booted + ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, StopIteration):  # no /proc here
        return datetime.now()


def closed_at(folder: Path) -> list[tuple[int, int]]:
    """Ranks, and when (ns) each last wrote to its main file, which closing does: another answer, and one has closed."""
    return [(rank, record_path(folder, rank).stat().st_mtime_ns) for rank in ranks_in(folder)]


def join_late(folder: Path, code: int | None, exception: str | None) -> dict[str, Any] | None:
    """A rank other than 0 has closed its record. If rank 0 has written its diagnosis, judge all anew; else it will.

    Returns the new diagnosis, or None.
    """
    written = open_run(folder).diagnosis
    if written is None:
        return None
    findings = diagnose(folder)
    written["findings"] = [finding.to_json() for finding in findings]
    written["verdict"] = verdict(findings)
    if code and not written["exit"].get("code"):
        written["exit"] = {"code": code, "exception": exception}
    diagnosis.write(folder, written)
    return written
