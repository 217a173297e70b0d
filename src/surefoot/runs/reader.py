"""Reads a record, also while it grows and after its process was killed."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.runs.batch import FLOAT32
from surefoot.runs.schema import SCHEMA, Family, Finding
from surefoot.runs.store import check_version, connect, has_tables, rank_of, ranks_in, reading_uri, record_path

if TYPE_CHECKING:
    import pandas as pd

# Read in pieces, each in full: a query left open would hold up the writer's commits or let its log grow.
_ROWS = 2048
_BLOBS = 32


@dataclass(frozen=True)
class Event:
    """Something that happened at a step; ``data`` is JSON, so non-finite numbers are strings."""

    step: int
    kind: str
    data: dict[str, Any]


class Run:
    """A recorded run, made by :func:`open_run`. Each read sees what has been committed by then.

    Attributes
    ----------
    path : the run's folder
    rank : whose record this is, in a distributed run
    """

    def __init__(self, path: Path, rank: int, uri: str, temporary: Path | None) -> None:
        self.path = path
        self.rank = rank
        self._uri = uri
        self._layouts: dict[int, Family] = {}
        if temporary is not None:
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, rank={self.rank}, steps={self.steps})"

    def _query(self, sql: str, *values: Any) -> list[Any]:
        with closing(connect(self._uri)) as connection:
            return connection.execute(sql, values).fetchall()

    # -- what the run was --------------------------------------------------------------------------------------------

    @property
    def meta(self) -> dict[str, Any]:
        """Facts about the run: script, versions, machine, …"""
        return {key: json.loads(value) for key, value in self._query("SELECT key, value FROM meta")}

    @property
    def ranks(self) -> list[int]:
        """The ranks that have a record in this folder."""
        return ranks_in(self.path)

    @property
    def steps(self) -> int:
        """The last step of which anything is known."""
        ((row,),) = self._query("SELECT ifnull(max(step), 0) FROM rows")
        ((event,),) = self._query("SELECT ifnull(max(step), 0) FROM events")
        diagnosis = self.diagnosis
        return max(row, event, int(diagnosis.get("steps", 0)) if diagnosis else 0)

    @property
    def diagnosis(self) -> dict[str, Any] | None:
        """``diagnosis.json`` as the run left it; None if there is none, or only a part of one.

        Raises
        ------
        ValueError
            A newer surefoot wrote it.
        """
        try:
            diagnosis = json.loads((self.path / "diagnosis.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(diagnosis, dict):
            return None
        if diagnosis.get("schema", SCHEMA) > SCHEMA:
            raise ValueError(
                f"{self.path / 'diagnosis.json'} was written by a newer surefoot: it has schema {diagnosis['schema']}, "
                f"this version reads up to {SCHEMA}; update surefoot to read it"
            )
        return diagnosis

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings as the run left them; empty if it left none."""
        diagnosis = self.diagnosis
        return tuple(map(Finding.from_json, diagnosis["findings"])) if diagnosis else ()

    # -- what was recorded -------------------------------------------------------------------------------------------

    def _families(self) -> dict[int, Family]:
        newest = max(self._layouts, default=0)
        for number, name, columns in self._query("SELECT id, name, columns FROM families WHERE id > ?", newest):
            self._layouts[number] = Family(name, tuple((signal, where) for signal, where in json.loads(columns)))
        return dict(sorted(self._layouts.items()))

    @property
    def families(self) -> tuple[Family, ...]:
        """The families in order of appearance; one whose columns changed is there once for each layout."""
        return tuple(self._families().values())

    def signals(self) -> tuple[str, ...]:
        """The names of all signals, family by family."""
        return tuple(dict.fromkeys(signal for family in self.families for signal, _ in family.columns))

    def frame(self, signal: str) -> pd.DataFrame:
        """A signal as a table: one row a recorded step (index ``step``), one float32 column a ``where``.

        Columns are in the order of the newest layout, followed by those that it no longer has. NaN is what was not
        measured at a step.

        Raises
        ------
        KeyError
            The run has no such signal; the message names those it has.
        """
        import pandas as pd

        layouts = {
            number: places
            for number, family in self._families().items()
            if (places := {where: i for i, (name, where) in enumerate(family.columns) if name == signal})
        }
        if not layouts:
            raise KeyError(f"no signal {signal!r} in {self.path}; there are: {', '.join(self.signals()) or 'none yet'}")
        wheres = list(dict.fromkeys(where for places in reversed(layouts.values()) for where in places))
        parts = list(self._parts(layouts))
        recorded = [at for _, at, _ in parts]
        steps = np.unique(np.concatenate(recorded)) if recorded else np.empty(0, np.int64)
        values = np.full((len(steps), len(wheres)), np.nan, FLOAT32)
        column = {where: i for i, where in enumerate(wheres)}
        for number, at, part in parts:
            down, across = np.searchsorted(steps, at)[:, None], np.array([column[where] for where in layouts[number]])
            values[down, across] = np.where(np.isnan(part), values[down, across], part)
        index = pd.Index(steps, name="step")
        return pd.DataFrame(values, index=index, columns=pd.Index(wheres, name="where", dtype=object))

    def _parts(self, layouts: dict[int, dict[str, int]]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(layout, steps, values) of the columns asked for, in pieces, older layouts first within each piece."""
        sql = (
            f"SELECT step, family, data FROM rows WHERE (step, family) > (?, ?) AND family IN ({_marks(layouts)})"
            " ORDER BY step, family LIMIT ?"
        )
        step, family = -1, -1
        with closing(connect(self._uri)) as connection:
            while rows := connection.execute(sql, (step, family, *layouts, _ROWS)).fetchall():
                step, family = rows[-1][:2]
                for number, places in layouts.items():
                    mine = [row for row in rows if row[1] == number]
                    if mine:
                        steps = np.fromiter((row[0] for row in mine), np.int64, len(mine))
                        values = np.frombuffer(b"".join(row[2] for row in mine), FLOAT32).reshape(len(mine), -1)
                        yield number, steps, values[:, list(places.values())]

    def newest_row(self) -> int:
        """The step of the newest row; 0 if there is none."""
        ((step,),) = self._query("SELECT ifnull(max(step), 0) FROM rows")
        return step

    def rows(
        self, family: str | None = None, *, after: int = -1, until: int | None = None
    ) -> Iterator[tuple[int, Family, np.ndarray]]:
        """Rows as (step, family, float32 values), by step and then by the family's name.

        Parameters
        ----------
        family : of this family only
        after, until : of the steps above ``after``, up to and including ``until``; all by default
        """
        layouts = {number: f for number, f in self._families().items() if family is None or f.name == family}
        sql = (
            f"SELECT step, family, data FROM rows WHERE step > ? AND step <= ? AND family IN ({_marks(layouts)})"
            " ORDER BY step, family LIMIT ?"
        )
        last, end, limit = after, 2**62 if until is None else until, _ROWS
        with closing(connect(self._uri)) as connection:
            while rows := connection.execute(sql, (last, end, *layouts, limit)).fetchall():
                if len(rows) == limit:  # the last step may be cut: leave it to the next piece
                    whole = [row for row in rows if row[0] < rows[-1][0]]
                    if not whole:
                        limit *= 2
                        continue
                    rows = whole
                last = rows[-1][0]
                rows.sort(key=lambda row: (row[0], layouts[row[1]].name, row[1]))
                for step, number, data in rows:
                    yield step, layouts[number], np.frombuffer(data, FLOAT32)

    def events(self, kind: str | None = None) -> list[Event]:
        """All events (of one kind), by step and then as they happened."""
        sql = "SELECT step, kind, data FROM events WHERE ?1 IS NULL OR kind = ?1 ORDER BY step, id"
        return [Event(step, kind, json.loads(data)) for step, kind, data in self._query(sql, kind)]

    def blobs(self, signal: str) -> Iterator[tuple[int, str, np.ndarray]]:
        """The arrays recorded under ``signal`` as (step, key, array), by step and key."""
        sql = "SELECT step, key, array FROM blobs WHERE signal = ? AND (step, key) > (?, ?) ORDER BY step, key LIMIT ?"
        step, key = -1, ""
        with closing(connect(self._uri)) as connection:
            while blobs := connection.execute(sql, (signal, step, key, _BLOBS)).fetchall():
                for step, key, packed in blobs:
                    yield step, key, np.load(io.BytesIO(packed), allow_pickle=False)


def _marks(values: dict[int, Any]) -> str:
    return ", ".join("?" * len(values))


def open_run(path: Path | str, rank: int | None = None) -> Run:
    """Open a recorded run.

    Parameters
    ----------
    path : a run's folder, or the record in it (``run.sqlite``); it may still be growing
    rank : whose record to read, in a distributed run; default the one that ``path`` names, else 0

    Raises
    ------
    FileNotFoundError
        There is no record of a run at ``path``.
    ValueError
        What is there is none, or a newer surefoot wrote it.
    """
    path = Path(path)
    named = None if path.is_dir() else rank_of(path)
    folder = path.parent if named is not None else path
    rank = rank if rank is not None else named or 0
    record = record_path(folder, rank)
    if path.is_file() and named is None:
        raise ValueError(f"path: {path} is not a run; give a run's folder, or the run.sqlite in it{_nearby(path)}")
    if not record.is_file():
        raise FileNotFoundError(_what_is_missing(path, folder, rank))
    try:
        uri, temporary = reading_uri(record)
        with closing(connect(uri)) as connection:
            check_version(connection, record)
            if not has_tables(connection):
                raise ValueError(f"path: {record} is empty: its run ended before anything was recorded{_nearby(path)}")
    except sqlite3.DatabaseError as error:
        raise ValueError(f"path: {record} cannot be read as a surefoot record: {error}{_nearby(path)}") from error
    return Run(folder, rank, uri, temporary)


def _what_is_missing(path: Path, folder: Path, rank: int) -> str:
    if not folder.exists():
        return f"path: {path} does not exist{_nearby(path)}"
    ranks = ranks_in(folder)
    if ranks:
        return f"rank: {folder} has no record of rank {rank}, but of {', '.join(map(str, ranks))}"
    return f"path: {folder} is no run's folder: there is no {record_path(folder, rank).name} in it{_nearby(path)}"


def _nearby(path: Path) -> str:
    """A sentence that names the newest runs in and around ``path``."""
    places = dict.fromkeys(p.absolute() for p in (path, path / "surefoot-runs", path.parent, Path("surefoot-runs")))
    found: dict[Path, float] = {}
    for place in places:
        try:
            for record in place.glob("*/run.sqlite"):
                found[record.parent] = record.stat().st_mtime
        except OSError:  # not ours to read
            continue
    newest = sorted(found, key=lambda run: found[run], reverse=True)[:3]
    return f". Runs nearby, newest first: {', '.join(map(str, newest))}" if newest else ""
