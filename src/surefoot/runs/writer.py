"""Writes a record: what is recorded waits in memory until a flush commits it, and nothing here stops a run."""

from __future__ import annotations

import ctypes
import io
import json
import os
import sqlite3
import sys
import weakref
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.runs.batch import FLOAT32, Batch, merged, to_json
from surefoot.runs.schema import Family
from surefoot.runs.store import PAGE_SIZE, connect, has_tables, open_to_write, record_path
from surefoot.runs.thinning import ROW_BYTES, Thinner

_BUSY_MS = 20  # how long a flush waits for a reader's lock
_CLOSING_MS = 1000
_WAITING_BYTES = 32 * 2**20  # what may wait in memory while a reader holds the lock
_WAITING_EVENTS = 10_000
_KNOWN = 1024
_SMALLEST = 16 * PAGE_SIZE
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_open_writers: weakref.WeakSet[RunWriter] = weakref.WeakSet()


class RunWriter:
    """Writes the record of one process into a run's folder.

    Nothing but bad arguments raises: after an error of the file system or of SQLite, ``recording`` is False, one line
    has gone to stderr, later calls do nothing, and what was committed stays readable. In a forked child the writer
    drops itself. One thread at a time; a signal handler may call :meth:`close` in the middle of a flush.

    Parameters
    ----------
    folder : the run's folder; made if missing
    rank : of this process in a distributed run; each rank has a record of its own
    resume : continue the record in ``folder`` if there is one: its meta stays, and steps count on from its last one
    max_bytes : bound of the file's size; older rows are thinned to keep it

    Attributes
    ----------
    recording : whether anything is still written
    offset : what is added to each step: 0, or the last step of the record that is continued

    Raises
    ------
    ValueError
        ``rank`` or ``max_bytes`` make no sense.
    FileExistsError
        ``folder`` holds a record of this rank, and ``resume`` is False.
    """

    def __init__(self, folder: Path, *, rank: int = 0, resume: bool = False, max_bytes: int = 200_000_000) -> None:
        if rank < 0:
            raise ValueError(f"rank must be 0 or more, got {rank}")
        if max_bytes < _SMALLEST:
            raise ValueError(f"max_bytes must be at least {_SMALLEST} (sixteen pages), got {max_bytes}")
        self.path = record_path(Path(folder).absolute(), rank)  # the script may change the working directory
        self.recording = False
        self.offset = 0
        self._max_bytes = max_bytes
        self._pid = os.getpid()
        self._batch = Batch()
        self._in_flight: Batch | None = None
        self._known: dict[int, tuple[Family, int, int]] = {}  # by id() of the family: itself, its number, its bytes
        self._numbers: dict[Family, int] = {}
        self._scalars: set[int] = set()
        self._last: dict[int, int] = {}  # by family: the last step committed; a row after it cannot be there yet
        self._earlier_meta: dict[str, str] = {}
        self._resumed: list[dict[str, Any]] = []
        self._connection: sqlite3.Connection | None = None
        try:
            self._open(resume)
        except FileExistsError:
            raise
        except (sqlite3.Error, OSError, ValueError) as error:
            self._stop(error)

    # -- what is recorded --------------------------------------------------------------------------------------------

    def row(self, step: int, family: Family, values: np.ndarray) -> None:
        """Record a row; ``values`` are copied, so their array may be used again.

        A second row of the same step and family fills in: its values replace the first one's unless they are NaN.

        Raises
        ------
        ValueError
            There is not one value for each column of ``family``.
        """
        if not self.recording:
            return
        known = self._known.get(id(family)) or self._know(family)
        data = values.tobytes() if values.dtype is FLOAT32 else _rounded(values)
        if len(data) != known[2]:
            raise ValueError(
                f"values: family {family.name!r} has {len(family.columns)} columns, got {len(data) // 4} values"
            )
        rows = self._batch.rows
        key = (step, known[1])
        if key in rows:
            rows[key] = merged(rows[key], data)
        else:
            rows[key] = data

    def blob(self, step: int, signal: str, key: str, array: np.ndarray) -> None:
        """Record an array that has no place in a row, such as a spectrum, under (step, signal, key).

        Raises
        ------
        ValueError
            ``array`` holds Python objects.
        """
        if not self.recording:
            return
        array = np.asarray(array)
        if array.dtype.hasobject:
            raise ValueError(f"array: blobs hold numbers, got an array of dtype {array.dtype}; convert it first")
        packed = io.BytesIO()
        np.save(packed, array, allow_pickle=False)
        self._batch.blobs[int(step) + self.offset, signal, key] = packed.getvalue()

    def event(self, step: int, kind: str, /, **data: Any) -> None:
        """Record that something happened; non-finite numbers in ``data`` become strings."""
        if self.recording:
            self._number += 1
            self._batch.events.append((self._number, int(step) + self.offset, kind, to_json(data)))

    def meta(self, **items: Any) -> None:
        """Set facts about the run. In a continued record those that were there stay; new values go to ``resumed``."""
        if not self.recording:
            return
        meta = self._batch.meta
        for key, value in items.items():
            text = to_json(value)
            if key not in self._earlier_meta:
                meta[key] = text
            elif text != self._earlier_meta[key]:
                self._resumed[-1][key] = value
                meta["resumed"] = to_json(self._resumed)

    # -- to the file -------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Commit what was recorded. Never raises; while a reader holds the file, it waits for the next flush."""
        if not self.recording or self._in_flight is not None or not self._batch:
            return
        if os.getpid() != self._pid:  # forked, but not by Python
            self._forget()
            return
        batch = self._in_flight = self._batch
        self._batch = Batch()
        self._guarded(batch)

    def close(self) -> None:
        """Commit what was recorded and close the file; a finished record is one file without a log."""
        if not self.recording or self._connection is None:
            return
        if os.getpid() != self._pid:
            self._forget()
            return
        connection = self._connection
        try:
            if self._in_flight is not None:  # called by a signal handler in the middle of a flush
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._batch, self._in_flight = self._in_flight.followed_by(self._batch), None
            connection.execute(f"PRAGMA busy_timeout = {_CLOSING_MS}")
        except sqlite3.Error as error:
            self._stop(error)
            return
        self.flush()
        if not self.recording:
            return
        if self._batch:
            self._stop(TimeoutError(f"another process keeps {self.path.name} locked; the last rows are missing"))
            return
        self.recording, self._connection = False, None
        try:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.Error:  # a reader is there: the log stays, and is read
            pass
        _close(connection)

    def _guarded(self, batch: Batch) -> None:
        """Commit the batch in flight, and deal with whatever goes wrong."""
        connection = self._connection
        if connection is None:  # closed meanwhile by a signal handler, which wrote the batch
            return
        committed = False
        try:
            sizes = self._commit(connection, batch)
            committed = True
            self._thinner.work(*sizes)
        except BaseException as error:
            if self._connection is None:  # as above
                if isinstance(error, Exception):
                    return
                raise
            failed = isinstance(error, Exception) and not _is_busy(error)
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except sqlite3.Error:
                failed = True
            if failed:
                self._stop(error)
            elif not committed:
                self._put_off(batch)
            if not isinstance(error, Exception):
                raise
        finally:
            self._in_flight = None

    def _commit(self, connection: sqlite3.Connection, batch: Batch) -> tuple[int, int, int]:
        """Write the batch; returns the bytes of rows of "step", of other rows, and of blobs."""
        if os.stat(self.path).st_ino != self._inode:
            raise FileNotFoundError(f"{self.path} was replaced by another file")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            raise RuntimeError(f"another process writes to {self.path}")
        if batch.families:
            connection.executemany("INSERT OR REPLACE INTO families VALUES (?, ?, ?)", batch.families)
        scalars = others = 0
        offset, last = self.offset, self._last
        rows: list[tuple[int, int, bytes]] = []
        newest: dict[int, int] = {}
        for (step, family), data in list(batch.rows.items()):
            step = int(step) + offset
            if step <= last.get(family, -1):
                there = "SELECT data FROM rows WHERE step = ? AND family = ?"
                found = connection.execute(there, (step, family)).fetchone()
                data = merged(found[0], data) if found else data
            elif step > newest.get(family, -1):
                newest[family] = step
            rows.append((step, family, data))
            if family in self._scalars:
                scalars += len(data) + ROW_BYTES
            else:
                others += len(data) + ROW_BYTES
        connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", rows)
        blobs = 0
        for (step, signal, key), array in batch.blobs.items():
            blobs += len(array)
            insert = "INSERT OR REPLACE INTO blobs (step, signal, key, array) VALUES (?, ?, ?, ?)"
            connection.execute(insert, (step, signal, key, array))
        if batch.events:
            connection.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?)", batch.events)
        if batch.meta:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(batch.meta.items()))
        connection.execute("COMMIT")
        last.update(newest)
        return scalars, others, blobs

    def _put_off(self, batch: Batch) -> None:
        """Keep a batch that could not be committed for the next flush, within bounds."""
        batch = batch.followed_by(self._batch)
        del batch.events[:-_WAITING_EVENTS]
        if batch.size() > _WAITING_BYTES:
            lost = len(batch.rows)
            batch.rows.clear()
            batch.blobs.clear()
            self._batch = batch
            self.event(0, "note", text=f"{lost} rows are missing here: a reader kept the record locked for too long")
        else:
            self._batch = batch

    # -- beginning and end -------------------------------------------------------------------------------------------

    def _open(self, resume: bool) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not resume and _is_record(self.path):
            raise FileExistsError(
                f"folder: {self.path.parent} holds a record already ({self.path.name}); resume it, or name another one"
            )
        connection = self._connection = open_to_write(self.path, self._max_bytes)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self._inode = os.stat(self.path).st_ino
        for number, name, columns in connection.execute("SELECT id, name, columns FROM families"):
            self._add(Family(name, tuple((signal, where) for signal, where in json.loads(columns))), number)
        (self._number,) = connection.execute("SELECT ifnull(max(id), 0) FROM events").fetchone()
        (self._version,) = connection.execute("PRAGMA data_version").fetchone()
        self._thinner = Thinner(connection, self._max_bytes, self._scalars)
        self.recording = True
        _open_writers.add(self)
        if resume:
            self._continue(connection)

    def _continue(self, connection: sqlite3.Connection) -> None:
        (row,) = connection.execute("SELECT ifnull(max(step), 0) FROM rows").fetchone()
        (event,) = connection.execute("SELECT ifnull(max(step), 0) FROM events").fetchone()
        self.offset = max(row, event)
        self._last = dict.fromkeys(self._numbers.values(), self.offset)
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        if self.offset or len(meta) > 1:  # not just made
            self._resumed = json.loads(meta.pop("resumed", "[]"))
            self._resumed.append({"after_step": self.offset, "at": datetime.now(UTC).isoformat(timespec="seconds")})
            self._batch.meta["resumed"] = to_json(self._resumed)
            self._earlier_meta = meta

    def _know(self, family: Family) -> tuple[Family, int, int]:
        """Look up a family object that was not met before, or not lately."""
        number = self._numbers.get(family)
        if number is None:
            number = len(self._numbers) + 1
            self._add(family, number)
            self._batch.families.append((number, family.name, to_json(family.columns)))
        if len(self._known) >= _KNOWN:  # a caller that makes a new object for each row
            self._known.clear()
        # the family is kept with its number: while it lives, no other object can have its id()
        known = self._known[id(family)] = (family, number, FLOAT32.itemsize * len(family.columns))
        return known

    def _add(self, family: Family, number: int) -> None:
        self._numbers[family] = number
        if family.name == "step":
            self._scalars.add(number)

    def _stop(self, error: BaseException) -> None:
        """Give up recording, with one line on stderr."""
        connection, self._connection = self._connection, None
        self.recording = False
        self._batch = Batch()
        if connection is not None:
            _close(connection)
        reason = " ".join(str(error).split()) or type(error).__name__
        where = "" if str(self.path) in reason else f" ({self.path})"
        try:
            print(f"surefoot: recording stopped: {reason}{where}", file=sys.stderr, flush=True)
        except (OSError, ValueError, AttributeError):  # no stderr, or it is closed
            pass

    def _forget(self) -> None:
        """This process is a fork of the one that writes: leave the file alone."""
        connection, self._connection = self._connection, None
        self.recording = False
        self._batch = Batch()
        if connection is not None:
            # Even closing would touch the file and the parent's log, so the child must never get to it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _forget_all() -> None:
    for writer in list(_open_writers):
        writer._forget()
    _open_writers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _rounded(values: np.ndarray) -> bytes:
    with np.errstate(all="ignore"):  # a double beyond float32 is inf, and a script may have made warnings errors
        return np.asarray(values).astype(FLOAT32).tobytes()


def _is_record(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(connect(path.as_uri() + "?mode=ro")) as connection:
            return has_tables(connection)
    except sqlite3.Error:  # whatever it is, opening it to write will tell
        return False


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _close(connection: sqlite3.Connection) -> None:
    try:
        connection.close()
    except sqlite3.Error:
        pass
