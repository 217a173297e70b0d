"""``surefoot export``: one long table, or TensorBoard's event files, with every value that was measured."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sample_run import SAMPLES
from surefoot.cli import app
from surefoot.runs import open_run
from surefoot.runs.export import export, values


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    return SAMPLES["failing"]().write(empty_folder / "run")


def measured(folder: Path, signal: str | None = None) -> dict[tuple[int, str, str], float]:
    """From the rows themselves."""
    return {
        (step, name, where): float(value)
        for step, family, row in open_run(folder).rows()
        for (name, where), value in zip(family.columns, row, strict=True)
        if not np.isnan(value) and signal in (None, name)
    }


def test_values_are_all_that_was_measured(folder: Path) -> None:
    assert {(s, n, w): v for s, n, w, v in values(open_run(folder), None)} == measured(folder)


def test_csv_keeps_every_digit(folder: Path) -> None:
    table, events = export(open_run(folder), "csv", Path("t.csv"))
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(int(r["step"]), r["signal"], r["where"]): float(np.float32(r["value"])) for r in rows} == measured(folder)
    with open(events, newline="") as file:
        kinds = [(int(r["step"]), r["kind"], json.loads(r["data"])) for r in csv.DictReader(file)]
    assert kinds == [(e.step, e.kind, e.data) for e in open_run(folder).events()] and events.name == "t-events.csv"


def test_one_signal(folder: Path) -> None:
    table, _ = export(open_run(folder), "csv", Path("t.csv"), ["gradient_rms"])
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(measured(folder, "gradient_rms")) and {r["signal"] for r in rows} == {"gradient_rms"}


def test_parquet(folder: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow isn't installed")
    import pandas as pd
    import pyarrow.parquet as parquet

    table, events = export(open_run(folder), "parquet", Path("t.parquet"))
    frame = pd.read_parquet(table)
    assert list(frame.columns) == ["step", "signal", "where", "value"] and frame["value"].dtype == np.float32
    keys = zip(frame["step"], frame["signal"], frame["where"], strict=True)
    assert dict(zip(keys, map(float, frame["value"]), strict=True)) == measured(folder)
    wide = frame[frame["signal"] == "loss"].pivot(index="step", columns="where", values="value")
    assert np.array_equal(wide[""], open_run(folder).frame("loss")[""])
    assert list(pd.read_parquet(events)["kind"]) == [e.kind for e in open_run(folder).events()]
    assert json.loads(parquet.read_schema(table).metadata[b"surefoot"])["script"] == "examples/char_gpt.py"


def test_tensorboard(folder: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard isn't installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export(open_run(folder), "tensorboard", Path("tb"), ["loss", "gradient_rms"])
    reader = EventAccumulator("tb", size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    found = {
        (e.step, *tag.partition("/")[::2]): e.value for tag in reader.Tags()["scalars"] for e in reader.Scalars(tag)
    }
    assert found == measured(folder, "loss") | measured(folder, "gradient_rms")
    (modules,) = reader.Tensors("events/modules")
    assert json.loads(modules.tensor_proto.string_val[0]) == open_run(folder).events("modules")[0].data


def test_the_command_writes_into_the_run_or_where_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(["export", "run", "--to", "csv"]) == 0
    assert capsys.readouterr().out.split() == ["run/signals.csv", "run/signals-events.csv"]
    assert app(["export", "run", "--to", "csv", "--out", "x.csv", "--signal", "loss", "--signal", "update_norm"]) == 0
    assert {line.split(",")[1] for line in Path("x.csv").read_text().splitlines()[1:]} <= {"loss", "update_norm"}


def test_refusals_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, say in {
        ("--to", "csvv"): "did you mean 'csv'?",
        ("--to", "csv", "--signal", "lss"): "did you mean 'loss'?",
        ("--to", "csv", "--out", "run"): "is a folder",
        ("--to", "csv", "--out", "no/x.csv"): "there is no folder 'no'",
        ("--to", "tensorboard", "--out", "run"): "something at 'run' already",
        (): "--to",
    }.items():
        assert app(["export", "run", *words]) == 2
        err = capsys.readouterr().err
        assert say in err and err.count("\n") == 1
    assert app(["export", "--help"]) == 0
    assert "  surefoot export --to csv\n" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "package"), [("parquet", "pyarrow"), ("tensorboard", "tensorboard")])
def test_what_is_not_installed_is_named(folder: Path, kind: str, package: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None\nfrom surefoot.cli import app; sys.exit(app(sys.argv[1:]))"
    line = [sys.executable, "-c", code, "export", "run", "--to", kind, "--out", "there"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"pip install 'surefoot[{kind}]'" in done.stderr and done.stderr.count("\n") == 1
    assert not Path("there").exists()
