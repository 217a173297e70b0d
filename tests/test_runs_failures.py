"""The record when things go wrong (kills, forks, full disks, locks, lost files): training goes on, and rows stay."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from surefoot.runs import Family, RunWriter, open_run, store
from surefoot.runs import writer as writer_module

STEP = Family("step", (("loss", ""),))
JOURNALS = pytest.mark.parametrize("network", [False, True], ids=["wal", "truncate"])

PREAMBLE = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from surefoot.runs import Family, RunWriter, open_run, store
STEP = Family("step", (("loss", ""),))
WIDE = Family("weights", tuple(("weight_rms", str(i)) for i in range(1000)))
folder = Path(sys.argv[1])
if sys.argv[2] == "True":
    store.is_on_network = lambda path: True
"""


def start(code: str, folder: Path, network: bool = False, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), str(folder), str(network)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def values(step: int) -> np.ndarray:
    return np.array([step], dtype=np.float32)


def losses(folder: Path) -> list[float]:
    return open_run(folder).frame("loss")[""].tolist()


@pytest.fixture
def on(network: bool, monkeypatch) -> str:
    """Puts the record on what looks like a local or like a network file system; gives the journal's mode."""
    monkeypatch.setattr(store, "is_on_network", lambda path: network)
    return "truncate" if network else "wal"


# -- the process ends --------------------------------------------------------------------------------------------------

WRITE_FOREVER = """
writer = RunWriter(folder, max_bytes=2 * 2**20)
for step in range(1, 10**9):
    writer.row(step, STEP, np.array([step], np.float32))
    writer.row(step, WIDE, np.full(1000, step, np.float32))
    if step % 7 == 0:
        writer.flush()
        print(step, flush=True)
"""


@JOURNALS
def test_a_killed_run_is_readable(tmp_path, network):
    rng = random.Random(3)
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        with start(WRITE_FOREVER, folder, network) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
            printed = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            assert process.stderr.read() == ""
        committed = int(printed[-1]) if printed else 7
        run = open_run(folder)
        steps = run.steps
        assert committed <= steps <= committed + 7
        assert losses(folder) == list(range(1, steps + 1))
        rows = [(step, family.name, set(row.tolist())) for step, family, row in run.rows()]
        assert all(row == {step} for step, _, row in rows)
        assert rows[-1][:2] == (steps, "weights")
        with closing(RunWriter(folder, resume=True)) as writer:  # and can be continued
            writer.row(1, STEP, values(steps + 1))
        assert losses(folder) == list(range(1, steps + 2))


def test_a_forked_child_leaves_the_file_alone(tmp_path):
    code = """
    writer = RunWriter(folder)
    writer.row(1, STEP, np.ones(1, np.float32))
    writer.flush()
    writer.row(2, STEP, np.ones(1, np.float32))
    before = {p.name: p.stat().st_size for p in folder.iterdir()}
    child = os.fork()
    if child == 0:
        assert not writer.recording
        writer.row(3, STEP, np.ones(1, np.float32))
        writer.event(3, "note", text="child")
        writer.flush()
        writer.close()
        sys.exit(0)  # through the interpreter's whole end, which would close an open database
    assert os.waitpid(child, 0)[1] == 0
    assert {p.name: p.stat().st_size for p in folder.iterdir()} == before, before
    writer.row(4, STEP, np.ones(1, np.float32))
    writer.flush()
    os._exit(0)
    """
    with start(code, tmp_path) as process:
        assert process.communicate() == ("", "") and process.returncode == 0
    assert open_run(tmp_path).frame("loss").index.tolist() == [1, 2, 4] and open_run(tmp_path).events() == []


@pytest.mark.parametrize("place", ["before", "within", "after"])
def test_a_signal_handler_may_close_in_the_middle_of_a_flush(tmp_path, monkeypatch, capsys, place):
    writer = RunWriter(tmp_path)
    writer.row(1, STEP, values(1))
    writer.flush()

    def interrupted(function):
        def call(*args):
            if writer.recording and writer._in_flight is not None and not calls:
                calls.append(1)
                writer.row(3, STEP, values(3))
                writer.close()
            return function(*args)

        return call

    calls: list[int] = []
    if place == "before":
        monkeypatch.setattr(writer, "_commit", interrupted(writer._commit))
    elif place == "within":
        monkeypatch.setattr(writer_module, "merged", interrupted(writer_module.merged))
    else:
        monkeypatch.setattr(writer._thinner, "work", interrupted(writer._thinner.work))
    writer.row(1, STEP, values(1))
    writer.row(2, STEP, values(2))
    writer.event(2, "note", text="once")
    writer.flush()
    assert calls and not writer.recording
    assert losses(tmp_path) == [1, 2, 3] and len(open_run(tmp_path).events()) == 1
    assert capsys.readouterr().err == ""


def test_an_interrupt_in_a_flush_loses_nothing(tmp_path, monkeypatch):
    writer = RunWriter(tmp_path)
    writer.row(1, STEP, values(0))
    writer.flush()
    writer.row(2, STEP, values(2))
    writer.row(1, STEP, values(1))
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "merged", lambda *rows: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            writer.flush()
    writer.row(3, STEP, values(3))
    writer.close()
    assert losses(tmp_path) == [1, 2, 3]


# -- the disk ----------------------------------------------------------------------------------------------------------


@JOURNALS
def test_a_full_disk_stops_recording_only(tmp_path, network):
    code = """
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, 2 * 2**20))  # no file may grow beyond 2 MB
    writer = RunWriter(folder)
    for step in range(1, 2001):
        writer.row(step, STEP, np.array([step], np.float32))
        writer.row(step, WIDE, np.full(1000, step, np.float32))
        if step % 10 == 0:
            writer.flush()
            if writer.recording:
                committed = step
    writer.close()
    print(committed, writer.recording)
    """
    with start(code, tmp_path, network) as process:
        out, err = process.communicate()
    assert process.returncode == 0
    assert err.count("\n") == 1 and err.startswith("surefoot: recording stopped: ")
    committed, recording = out.split()
    assert recording == "False" and 10 <= int(committed) < 1000
    assert losses(tmp_path) == list(range(1, int(committed) + 1))
    assert len(list(open_run(tmp_path).rows("weights"))) == int(committed)


def test_a_full_database_stops_recording_only(tmp_path, capsys):
    writer = RunWriter(tmp_path)
    writer._connection.execute("PRAGMA max_page_count = 12")
    committed = 0
    for step in range(1, 20):
        writer.row(step, STEP, values(step))
        writer.blob(step, "spectrum", "", np.zeros(10_000))
        writer.flush()
        committed += writer.recording
    writer.close()
    assert capsys.readouterr().err == f"surefoot: recording stopped: database or disk is full ({writer.path})\n"
    assert losses(tmp_path) == list(range(1, committed + 1)) and committed > 0


@JOURNALS
@pytest.mark.parametrize("then", ["gone", "another"])
def test_a_record_that_was_removed(tmp_path, capsys, on, then):
    folder = tmp_path / "run"
    writer = RunWriter(folder)
    writer.row(1, STEP, values(1))
    writer.flush()
    shutil.rmtree(folder)
    if then == "another":
        with closing(RunWriter(folder)) as another:
            another.row(1, STEP, values(7))
    writer.row(2, STEP, values(2))
    writer.flush()
    assert not writer.recording
    writer.row(3, STEP, values(3))
    writer.close()
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("surefoot: recording stopped: ") and str(writer.path) in err
    if then == "another":
        assert losses(folder) == [7]


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    writer = RunWriter(tmp_path / "file" / "run")
    writer.row(1, STEP, values(1))
    writer.event(1, "note")
    writer.meta(a=1)
    writer.blob(1, "s", "k", values(1))
    writer.flush()
    writer.close()
    assert not writer.recording and capsys.readouterr().err.count("surefoot: recording stopped: ") == 1


def test_a_closed_stderr_is_no_trouble(tmp_path, monkeypatch):
    (tmp_path / "run.sqlite").write_text("this is something else, and long enough to look like it")
    monkeypatch.setattr(sys, "stderr", None)
    assert not RunWriter(tmp_path).recording
    assert (tmp_path / "run.sqlite").read_text().startswith("this is something else")


# -- other processes ---------------------------------------------------------------------------------------------------


@JOURNALS
def test_a_lock_puts_the_flush_off(tmp_path, capsys, on):
    writer = RunWriter(tmp_path)
    assert writer._connection.execute("PRAGMA journal_mode").fetchone() == (on,)
    writer.row(1, STEP, values(1))
    writer.flush()
    other = sqlite3.connect(tmp_path / "run.sqlite", isolation_level=None)
    if on == "wal":  # readers are in nobody's way here; only another writer is
        other.execute("BEGIN IMMEDIATE")
    else:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM rows").fetchone() == (1,)
    for step in (2, 3):
        writer.row(step, STEP, values(step))
        writer.event(step, "note", step=step)
        writer.flush()
        assert writer.recording
    other.execute("ROLLBACK")
    other.close()
    assert losses(tmp_path) == [1]
    writer.flush()
    assert losses(tmp_path) == [1, 2, 3] and [e.data["step"] for e in open_run(tmp_path).events()] == [2, 3]
    writer.close()
    assert capsys.readouterr().err == ""


def test_what_waits_for_a_lock_is_bounded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writer_module, "_WAITING_BYTES", 1000)
    writer = RunWriter(tmp_path)
    other = sqlite3.connect(tmp_path / "run.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for step in range(1, 301):
        writer.row(step, STEP, values(step))
        if step % 100 == 0:
            writer.flush()
    assert writer.recording
    other.execute("ROLLBACK")
    writer.close()
    assert losses(tmp_path) == []
    (note,) = open_run(tmp_path).events("note")
    assert note.data["text"].startswith("300 rows are missing")
    monkeypatch.setattr(writer_module, "_CLOSING_MS", 1)
    writer = RunWriter(tmp_path, resume=True)
    writer.row(1, STEP, values(1))
    other.execute("BEGIN IMMEDIATE")
    writer.close()  # never released
    other.close()
    assert "locked; the last rows are missing" in capsys.readouterr().err


@JOURNALS
def test_a_second_writer_is_noticed(tmp_path, capsys, on):
    first = RunWriter(tmp_path)
    first.row(1, STEP, values(1))
    first.flush()
    with closing(RunWriter(tmp_path, resume=True)) as second:
        second.row(1, STEP, values(2))
    first.row(2, STEP, values(3))
    first.flush()
    assert not first.recording and "another process writes to" in capsys.readouterr().err
    assert losses(tmp_path) == [1, 2]


@JOURNALS
def test_a_reader_between_flushes_is_no_writer(tmp_path, on):
    with closing(RunWriter(tmp_path)) as writer:
        for step in range(1, 6):
            writer.row(step, STEP, values(step))
            writer.flush()
            assert losses(tmp_path) == list(range(1, step + 1))
        assert writer.recording


# -- read-only places --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", ["closed", "log kept", "killed"])
def test_a_read_only_folder_is_read(tmp_path_factory, ended):
    code = """
    import atexit, json, shutil, stat, tempfile
    place = Path(tempfile.mkdtemp(prefix="surefoot-test-"))
    writer = RunWriter(folder)
    writer.row(1, STEP, np.ones(1, np.float32))
    writer.flush()
    if ENDED == "closed":
        writer.close()
    elif ENDED == "log kept":  # its mode still says that there is a log, and there is none
        writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("run.sqlite", "run.sqlite-wal"):
        if (folder / name).exists() and (folder / name).stat().st_size:
            shutil.copy(folder / name, place / name)
    place.chmod(0o555)
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:  # to whom nothing is read-only
                os.setgid(65534)
                os.setuid(65534)
            print(sorted(p.name for p in place.iterdir()), len(list(open_run(place).rows())), flush=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    place.chmod(0o755)
    shutil.rmtree(place)
    """
    with start(code.replace("ENDED", repr(ended)), tmp_path_factory.mktemp("run")) as process:
        out, err = process.communicate()
    names = ["run.sqlite", "run.sqlite-wal"] if ended == "killed" else ["run.sqlite"]
    assert (out, err) == (f"{names} 1\n", "")


def test_a_journal_left_by_a_kill_is_rolled_back(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "is_on_network", lambda path: True)
    writer = RunWriter(tmp_path / "run")
    for step in range(1, 101):
        writer.row(step, STEP, values(step))
    writer.flush()
    connection = writer._connection
    connection.execute("PRAGMA cache_size = 1")  # so that pages go to the file before the commit
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM rows WHERE step > 50")
    connection.executemany("INSERT INTO blobs VALUES (?, 1, '', ?, zeroblob(100000))", [(i, str(i)) for i in range(50)])
    shutil.copytree(tmp_path / "run", tmp_path / "killed")
    connection.execute("ROLLBACK")
    writer.close()
    assert (tmp_path / "killed" / "run.sqlite-journal").stat().st_size > 0
    run = open_run(tmp_path / "killed")
    assert len(list(run.rows())) == 100 and list(run.blobs("")) == []


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/home/me/run.sqlite", False),
        ("/data/run.sqlite", True),
        ("/data2/run.sqlite", False),
        ("/data/scratch/run.sqlite", False),
        ("/my disk/run.sqlite", True),
        ("/mnt/ssh/run.sqlite", True),
    ],
)
def test_network_file_systems_are_known(path, network):
    mounts = (
        "/dev/sda / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\n/dev/sdb /data/scratch xfs rw 0 0\n"
        "//server/y /my\\040disk cifs rw 0 0\nme@host: /mnt/ssh fuse.sshfs rw 0 0\n\n"
    )
    assert store.is_on_network(Path(path), mounts) is network
