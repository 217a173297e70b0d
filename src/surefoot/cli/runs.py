"""Which run a command is about: the one named, else the newest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surefoot.runs import Run

HOME = Path("surefoot-runs")
RECORD = "run.sqlite"


def chosen(name: str | None) -> Run:
    """Open the run that the user named, or the newest one under ``./surefoot-runs``.

    Parameters
    ----------
    name
        A run's folder, its ``run.sqlite``, or the folder's name under ``./surefoot-runs``.

    Raises
    ------
    ValueError
        If there is no such run.
    """
    from surefoot.runs import open_run

    if name is None:
        return open_run(newest())
    path = Path(name)
    if not path.exists() and (HOME / name).exists():
        path = HOME / name
    if not path.exists():
        raise ValueError(f"RUN: there is no {name!r}; name a run's folder, such as {_example()}")
    return open_run(path)


def folder(run: Run) -> Path:
    """The folder that a run's record is in."""
    path = Path(run.path)
    return path if path.is_dir() else path.parent


def newest() -> Path:
    """The run under ``./surefoot-runs`` that was written to last."""
    records = list(HOME.glob(f"*/{RECORD}"))
    if not records:
        raise ValueError(f"no run under ./{HOME}; name a run's folder, or make one: surefoot run train.py")
    return max(records, key=_written).parent


def _written(record: Path) -> float:
    """When a record was last written to; a run that goes on writes to the log beside it."""
    log = record.with_name(f"{RECORD}-wal")
    return max(path.stat().st_mtime for path in (record, log) if path.exists())


def _example() -> str:
    try:
        return str(newest())
    except ValueError:
        return str(HOME / "train-20260101-120000")
