"""The record: what is written is what is read, also when it is continued."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.runs import SCHEMA, Event, Evidence, Family, Finding, Remedy, RunWriter, open_run
from surefoot.runs import writer as writer_module

NAN = float("nan")
STEP = Family("step", (("loss", ""), ("learning_rate", "")))
GRADIENTS = Family("gradients", (("gradient_rms", "a"), ("gradient_rms", "b"), ("gradient_norm", "")))


def row(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def write(folder: Path, rows: list[tuple[int, Family, np.ndarray]], **options) -> None:
    with closing(RunWriter(folder, **options)) as writer:
        for step, family, values in rows:
            writer.row(step, family, values)


def read(folder: Path) -> list[tuple[int, Family, bytes]]:
    return [(step, family, values.tobytes()) for step, family, values in open_run(folder).rows()]


# -- what is written is what is read ----------------------------------------------------------------------------------


def test_everything_comes_back(tmp_path):
    with closing(RunWriter(tmp_path / "run")) as writer:
        assert writer.recording
        writer.meta(script="train.py", budget=0.02, limits=(1, NAN), cpus=np.int64(2))
        writer.event(1, "modules", root="GPT", modules=[{"name": "a", "depth": 0}])
        writer.event(1, "nonfinite", kind="loss", value=np.float32("inf"), at=Path("x"))
        values = row(1.5, 0.1)
        writer.row(1, STEP, values)
        values[:] = 0  # the caller's array is its own again
        writer.row(1, GRADIENTS, row(1, 2, 3))
        writer.row(np.int64(2), STEP, row(NAN, 0.1))
        writer.blob(2, "spectrum", "a", np.arange(6.0).reshape(2, 3))
        writer.blob(1, "spectrum", "b", np.arange(3, dtype=np.int32))
    run = open_run(tmp_path / "run")
    assert (run.path, run.rank, run.ranks, run.steps) == (tmp_path / "run", 0, [0], 2)
    assert run.meta == {"schema": SCHEMA, "script": "train.py", "budget": 0.02, "limits": [1, "nan"], "cpus": 2}
    assert run.families == (STEP, GRADIENTS)
    assert run.signals() == ("loss", "learning_rate", "gradient_rms", "gradient_norm")
    assert run.events() == [
        Event(1, "modules", {"root": "GPT", "modules": [{"name": "a", "depth": 0}]}),
        Event(1, "nonfinite", {"kind": "loss", "value": "inf", "at": "x"}),
    ]
    assert [e.kind for e in run.events("modules")] == ["modules"]
    assert [(s, f.name, v.tolist()) for s, f, v in run.rows()][:2] == [
        (1, "gradients", [1.0, 2.0, 3.0]),
        (1, "step", [1.5, pytest.approx(0.1)]),
    ]
    assert [s for s, _, _ in run.rows("step")] == [1, 2]
    assert list(run.rows("no such family")) == []
    blobs = list(run.blobs("spectrum"))
    assert [(step, key, array.dtype, array.shape) for step, key, array in blobs] == [
        (1, "b", np.int32, (3,)),
        (2, "a", np.float64, (2, 3)),
    ]
    assert blobs[1][2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert list(run.blobs("no such signal")) == []
    assert sorted(p.name for p in run.path.iterdir()) == ["run.sqlite"]  # no log is left


families = st.sampled_from([STEP, GRADIENTS, Family("wiring", (("missed_parameters", ""),)), Family("empty", ())])
history = st.lists(st.tuples(st.integers(0, 40), families, st.integers(0, 2**32 - 1), st.booleans()), max_size=60)


@settings(max_examples=40, deadline=None)
@given(history)
def test_any_rows_come_back_bit_for_bit(history):
    expected: dict[tuple[int, str], tuple[Family, np.ndarray]] = {}
    odd = np.array([NAN, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38], dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        with closing(RunWriter(Path(folder))) as writer:
            for step, family, seed, flush in history:
                rng = np.random.default_rng(seed)
                values = rng.integers(0, 2**32, len(family.columns), dtype=np.uint32).view(np.float32)  # any bits
                values = np.where(rng.random(len(values)) < 0.5, rng.choice(odd, len(values)), values)
                writer.row(step, family, values)
                if (step, family.name) in expected:
                    before = expected[step, family.name][1]
                    values = np.where(np.isnan(values), before, values)
                expected[step, family.name] = (family, values)
                if flush:
                    writer.flush()
            assert writer.recording
        wanted = [(step, family, values.tobytes()) for (step, _), (family, values) in sorted(expected.items())]
        assert read(Path(folder)) == wanted


@pytest.mark.parametrize("values", [(0.1, 1e300), (NAN, -1e300), (np.inf, 1e-300)])
@pytest.mark.filterwarnings("error")
def test_doubles_are_rounded_without_a_word(values, tmp_path):
    values = np.array(values)
    write(tmp_path, [(1, STEP, values)])
    with np.errstate(all="ignore"):
        assert read(tmp_path) == [(1, STEP, values.astype(np.float32).tobytes())]


def test_a_second_row_of_a_step_fills_in(tmp_path):
    with closing(RunWriter(tmp_path)) as writer:
        writer.row(3, GRADIENTS, row(1, NAN, 5))
        writer.row(3, GRADIENTS, row(NAN, 2, 6))  # in the buffer
        writer.row(4, GRADIENTS, row(7, 8, NAN))
        writer.flush()
        writer.row(3, GRADIENTS, row(NAN, NAN, 9))  # in the file
        writer.row(4, GRADIENTS, row(NAN, NAN, 9))
    assert open_run(tmp_path).frame("gradient_norm")[""].tolist() == [9, 9]
    assert open_run(tmp_path).frame("gradient_rms").to_numpy().tolist() == [[1, 2], [7, 8]]


def test_frame_is_ready_to_export(tmp_path):
    write(tmp_path, [(1, GRADIENTS, row(1, 2, 3)), (5, GRADIENTS, row(4, NAN, 6)), (1, STEP, row(9, 9))])
    frame = open_run(tmp_path).frame("gradient_rms")
    assert frame.index.name == "step" and frame.index.dtype == np.int64 and frame.index.tolist() == [1, 5]
    assert frame.columns.tolist() == ["a", "b"]
    assert (frame.dtypes == np.float32).all()
    assert frame.to_csv(lineterminator="\n") == "step,a,b\n1,1.0,2.0\n5,4.0,\n"
    with pytest.raises(KeyError, match=r"no signal 'weight'.*gradient_rms, gradient_norm, loss"):
        open_run(tmp_path).frame("weight")


def test_frame_joins_layouts_that_changed(tmp_path):
    later = Family("gradients", (("gradient_rms", "c"), ("gradient_rms", "a"), ("gradient_norm", "")))
    rows = [(1, GRADIENTS, row(1, 2, 3)), (2, GRADIENTS, row(4, 5, 6)), (2, later, row(7, NAN, 8))]
    write(tmp_path, [*rows, (3, later, row(9, 10, 11))])
    run = open_run(tmp_path)
    assert run.families == (GRADIENTS, later)
    frame = run.frame("gradient_rms")
    assert frame.columns.tolist() == ["c", "a", "b"]
    assert np.array_equal(frame.to_numpy(), [[NAN, 1, 2], [7, 4, 5], [9, 10, NAN]], equal_nan=True)
    assert run.frame("gradient_norm")[""].tolist() == [3, 8, 11]
    assert [(step, family) for step, family, _ in run.rows()] == [
        (1, GRADIENTS),
        (2, GRADIENTS),
        (2, later),
        (3, later),
    ]


def test_long_records_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("surefoot.runs.reader._ROWS", 3)
    monkeypatch.setattr("surefoot.runs.reader._BLOBS", 2)
    names = [Family(name, (("x" + name, ""),)) for name in "dbca"]
    rows = [(step, family, row(step)) for step in range(1, 8) for family in names[: 1 + step % 4]]
    with closing(RunWriter(tmp_path)) as writer:
        for item in rows:
            writer.row(*item)
            writer.blob(item[0], "s", item[1].name, item[2])
    run = open_run(tmp_path)
    assert [(s, f.name) for s, f, _ in run.rows()] == sorted((s, f.name) for s, f, _ in rows)
    assert [(s, key) for s, key, _ in run.blobs("s")] == sorted((s, f.name) for s, f, _ in rows)
    assert run.frame("xd").index.tolist() == list(range(1, 8))


def test_an_equal_family_is_the_same_family(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_KNOWN", 4)
    write(tmp_path, [(step, Family("step", STEP.columns), row(step, 0)) for step in range(1, 20)])
    assert open_run(tmp_path).families == (STEP,)
    assert open_run(tmp_path).frame("loss")[""].tolist() == list(range(1, 20))


def test_a_record_is_read_while_it_grows(tmp_path):
    with closing(RunWriter(tmp_path)) as writer:
        run = open_run(tmp_path)
        assert (run.steps, run.families, run.signals(), list(run.rows())) == (0, (), (), [])
        with pytest.raises(KeyError, match="none yet"):
            run.frame("loss")
        for step in range(1, 4):
            writer.row(step, STEP, row(step, 0))
            assert run.steps == step - 1
            writer.flush()
            assert run.frame("loss")[""].tolist() == list(range(1, step + 1))
        rows = run.rows()
        next(rows)  # a reader that stopped half-way is in nobody's way
        writer.row(4, STEP, row(4, 0))
        writer.flush()
        assert run.steps == 4


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="rank must be 0 or more, got -1"):
        RunWriter(tmp_path, rank=-1)
    with pytest.raises(ValueError, match="max_bytes must be at least"):
        RunWriter(tmp_path, max_bytes=1000)
    with closing(RunWriter(tmp_path)) as writer:
        with pytest.raises(ValueError, match="'step' has 2 columns, got 3 values"):
            writer.row(1, STEP, row(1, 2, 3))
        with pytest.raises(ValueError, match="dtype object"):
            writer.blob(1, "s", "k", np.array([None]))
        writer.row(1, STEP, row(1, 2))
    assert open_run(tmp_path).steps == 1


# -- the folder --------------------------------------------------------------------------------------------------------


def finding() -> Finding:
    evidence = Evidence("gradient_rms", "a", 8, float("inf"), 1e-7, "a theorem")
    remedy = Remedy("init", "because", "# after: model\nprint(model)", None)
    return Finding("non-finite", "critical", 1, 1, 8, 9, ("a",), "it is", None, (evidence,), (remedy,))


def test_diagnosis_and_findings(tmp_path):
    write(tmp_path, [(1, STEP, row(1, 2))])
    run = open_run(tmp_path)
    assert run.diagnosis is None and run.findings == ()
    diagnosis = {"schema": 1, "steps": 12, "findings": [finding().to_json()]}
    path = tmp_path / "diagnosis.json"
    path.write_text(json.dumps(diagnosis, allow_nan=False))
    assert run.diagnosis == diagnosis and run.findings == (finding(),)
    assert run.steps == 12  # the last steps need not have a row
    path.write_text(path.read_text()[:40])  # a disk was full
    assert run.diagnosis is None and run.findings == () and run.steps == 1
    path.write_text(json.dumps({**diagnosis, "schema": SCHEMA + 1}))
    with pytest.raises(ValueError, match="newer surefoot"):
        _ = run.findings


def test_ranks_have_a_record_each(tmp_path):
    for rank in (2, 0, 11):
        write(tmp_path, [(1, STEP, row(rank, 0))], rank=rank)
    (tmp_path / "run.backup.sqlite").write_text("")
    run = open_run(tmp_path)
    assert run.ranks == [0, 2, 11] and run.rank == 0
    for other in (open_run(tmp_path, rank=2), open_run(tmp_path / "run.rank2.sqlite")):
        assert other.rank == 2 and other.path == tmp_path and other.frame("loss")[""].tolist() == [2]
    assert open_run(str(tmp_path / "run.sqlite")).path == tmp_path
    with pytest.raises(FileNotFoundError, match="no record of rank 1, but of 0, 2, 11"):
        open_run(tmp_path, rank=1)


def test_what_is_no_run_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist$"):
        open_run("nowhere")
    write(tmp_path / "surefoot-runs" / "train-1", [])
    with pytest.raises(FileNotFoundError, match=r"no run.sqlite in it. Runs nearby.*surefoot-runs/train-1$"):
        open_run(tmp_path / "surefoot-runs")
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist. Runs nearby.*surefoot-runs/train-1$"):
        open_run("nowhere")
    (tmp_path / "train.py").write_text("print()")
    with pytest.raises(ValueError, match=r"train.py is not a run; give a run's folder"):
        open_run(tmp_path / "train.py")
    for name, content in (("text", b"no database, but long enough to be one"), ("empty", b"")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.sqlite").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read as a surefoot record|is empty"):
            open_run(tmp_path / name)


def test_other_databases_and_newer_records_are_told(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(tmp_path / "other" / "run.sqlite")) as other:
        other.execute("CREATE TABLE songs (title)")
    with pytest.raises(ValueError, match="not a record of surefoot"):
        open_run(tmp_path / "other")
    write(tmp_path / "new", [])
    with closing(sqlite3.connect(tmp_path / "new" / "run.sqlite")) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(ValueError, match=f"schema {SCHEMA + 1}, this version reads up to {SCHEMA}"):
        open_run(tmp_path / "new")
    for name in ("other", "new"):  # a writer leaves both alone, and the run goes on
        writer = RunWriter(tmp_path / name, resume=True)
        assert not writer.recording
        writer.row(1, STEP, row(1, 2))
        writer.flush()
        writer.close()
        assert capsys.readouterr().err.count("surefoot: recording stopped: ") == 1


# -- continued records -------------------------------------------------------------------------------------------------


def test_resume_counts_on(tmp_path):
    with closing(RunWriter(tmp_path)) as writer:
        writer.meta(script="train.py", pid=1)
        writer.row(1, STEP, row(1, 0))
        writer.row(2, STEP, row(2, 0))
        writer.event(3, "note", text="first")
    with closing(RunWriter(tmp_path, resume=True)) as writer:
        assert writer.offset == 3
        writer.meta(script="train.py", pid=2, host="new")
        writer.row(1, STEP, row(3, 0))
        writer.row(1, GRADIENTS, row(1, 2, 3))
        writer.event(1, "note", text="second")
        writer.blob(1, "s", "k", np.zeros(1))
    run = open_run(tmp_path)
    assert run.frame("loss")[""].to_dict() == {1: 1, 2: 2, 4: 3}
    assert run.families == (STEP, GRADIENTS)
    assert [(e.step, e.data["text"]) for e in run.events()] == [(3, "first"), (4, "second")]
    assert [step for step, _, _ in run.blobs("s")] == [4]
    meta = run.meta
    assert (meta["script"], meta["pid"], meta["host"]) == ("train.py", 1, "new")
    assert [(r["after_step"], r["pid"]) for r in meta["resumed"]] == [(3, 2)]
    with closing(RunWriter(tmp_path, resume=True)) as writer:
        assert writer.offset == 4
    assert [r["after_step"] for r in open_run(tmp_path).meta["resumed"]] == [3, 4]


def test_resume_of_nothing_begins(tmp_path):
    write(tmp_path, [(1, STEP, row(1, 0))], resume=True)
    assert open_run(tmp_path).steps == 1 and "resumed" not in open_run(tmp_path).meta


def test_a_record_is_not_overwritten(tmp_path):
    write(tmp_path, [(1, STEP, row(1, 0))])
    with pytest.raises(FileExistsError, match="holds a record already"):
        RunWriter(tmp_path)
    assert open_run(tmp_path).steps == 1
