"""The SQLite file behind a record: its names, its tables, and how to open it to write and to read."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
from pathlib import Path

from surefoot.runs.schema import SCHEMA

PAGE_SIZE = 65536
"""SQLite keeps a row of this table inside its page up to a quarter of the page; a longer one goes on in pages of its
own that are half empty on average. 64 kB hold a row of 4,000 values, and a flush still dirties two or three pages."""

_LOG_BYTES = 8 * 2**20  # the write-ahead log goes back into the file at this size
_APPLICATION_ID = 0x73757265
_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE families (id INTEGER PRIMARY KEY, name TEXT NOT NULL, columns TEXT NOT NULL)",
    "CREATE TABLE rows (step INTEGER NOT NULL, family INTEGER NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (step, family)) WITHOUT ROWID",
    "CREATE TABLE blobs (id INTEGER PRIMARY KEY, step INTEGER NOT NULL, signal TEXT NOT NULL, key TEXT NOT NULL,"
    " array BLOB NOT NULL, UNIQUE (signal, step, key))",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, step INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)
# The log needs shared memory between writer and readers, which these file systems do not give across machines.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|lustre|gpfs|beegfs\w*|ceph|glusterfs|panfs|pvfs2|orangefs|davfs\d?|ncpfs|fuse(\..*)?"
)


def record_path(folder: Path, rank: int = 0) -> Path:
    """Where the record of ``rank`` lies in a run's folder."""
    return folder / ("run.sqlite" if rank == 0 else f"run.rank{rank}.sqlite")


def rank_of(path: Path) -> int | None:
    """The rank that a record's file name says; None if it is not the name of a record."""
    match = re.fullmatch(r"run(?:\.rank(\d+))?\.sqlite", path.name)
    return int(match[1] or 0) if match else None


def ranks_in(folder: Path) -> list[int]:
    """The ranks whose records lie in ``folder``, in order."""
    return sorted(rank for path in folder.glob("run*.sqlite") if (rank := rank_of(path)) is not None)


def open_to_write(path: Path, max_bytes: int) -> sqlite3.Connection:
    """The record at ``path`` with its tables, made where there is none; transactions are the caller's.

    Beside a file of up to ``max_bytes`` the write-ahead log stays small.

    Raises
    ------
    ValueError
        The file is a record of a newer schema, or a database of something else.
    sqlite3.Error
        It cannot be opened or made.
    """
    # The thread check is off because last words may come from another thread than the training's.
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        check_version(connection, path)
        if is_on_network(path) or not _use_log(connection):
            connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        connection.execute("PRAGMA synchronous = NORMAL")
        log = min(_LOG_BYTES, max_bytes // 16)
        connection.execute(f"PRAGMA wal_autocheckpoint = {log // PAGE_SIZE}")
        connection.execute(f"PRAGMA journal_size_limit = {log}")
        connection.execute("BEGIN IMMEDIATE")
        if not has_tables(connection):
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> bool:
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError:  # no shared memory here
        return False
    return bool(mode == "wal")


def is_on_network(path: Path, mounts: str | None = None) -> bool:
    """Whether ``path`` lies on a file system that several machines may share, as far as ``/proc`` tells."""
    if os.name == "nt":
        return str(path.absolute()).startswith("\\\\")
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return False
    place, kind = os.path.realpath(path), ""
    longest = -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[1])
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of mounts on one point the last one covers the others
            longest, kind = len(point), fields[2]
    return _NETWORK.fullmatch(kind) is not None


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether the tables of a record are there."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone() is not None


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ValueError if the database is not a record that this version can read; an empty one passes."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (things,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if things and application != _APPLICATION_ID:
        raise ValueError(f"{path} is an SQLite database, but not a record of surefoot")
    if version > SCHEMA:
        raise ValueError(
            f"{path} was written by a newer surefoot: its record has schema {version}, this version reads up to "
            f"{SCHEMA}; update surefoot to read it"
        )


def reading_uri(path: Path) -> tuple[str, Path | None]:
    """How to open the record at ``path`` read-only, and a temporary folder to remove afterwards, if one was needed.

    A writer may be at work, may have been killed (its log is read), and the folder may be read-only. There SQLite
    cannot set up the log's index: a finished record is then opened as immutable, one with a log is copied first.

    Raises
    ------
    sqlite3.Error
        None of the ways serves.
    """
    # Never open() the file to look at it: closing that would drop the locks a writer in this process holds.
    uri = path.absolute().as_uri()
    try:
        _try(uri + "?mode=ro")
        return uri + "?mode=ro", None
    except sqlite3.OperationalError:
        leftovers = [side for ending in ("-wal", "-journal") if (side := Path(f"{path}{ending}")).exists()]
        if not any(side.stat().st_size for side in leftovers):
            _try(uri + "?mode=ro&immutable=1")
            return uri + "?mode=ro&immutable=1", None
    folder = Path(tempfile.mkdtemp(prefix="surefoot-"))
    try:
        for source in (path, *leftovers):
            shutil.copyfile(source, folder / source.name)
        uri = (folder / path.name).as_uri() + "?mode=rw"  # rw: a journal that was left over must be rolled back
        _try(uri)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return uri, folder


def _try(uri: str) -> None:
    connection = connect(uri)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        connection.close()


def connect(uri: str) -> sqlite3.Connection:
    """A connection for reading; waits for a writer's commit."""
    return sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)
