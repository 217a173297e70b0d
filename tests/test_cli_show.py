"""``surefoot show`` and ``surefoot report``, and how the command line refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sample_run import SAMPLES
from surefoot.cli import app


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, at the width of a pipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def make(here: Path, sample: str, name: str | None = None, age: float = 0) -> Path:
    """A run under ./surefoot-runs, last written to ``age`` seconds ago."""
    folder = SAMPLES[sample]().write(here / "surefoot-runs" / (name or sample))
    for path in folder.iterdir():
        written = path.stat().st_mtime - age
        os.utime(path, (written, written))
    return folder


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command line refuses."""
    assert app(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("surefoot: ")
    return err


def test_show_takes_the_newest_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here, "healthy", age=100)
    make(here, "failing", age=50)
    make(here, "gan", age=200)
    assert app(["show"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("failing  examples/char_gpt.py")
    assert out.endswith("report    surefoot-runs/failing/report.html\n")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", ["healthy", "surefoot-runs/healthy", "surefoot-runs/healthy/run.sqlite"])
def test_show_takes_a_folder_a_record_or_a_name(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make(here, "healthy", age=100)
    make(here, "failing")
    assert app(["show", name]) == 0
    assert capsys.readouterr().out.startswith("healthy  train.py")


def test_show_as_json_is_the_diagnosis(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(here, "nonfinite")
    assert app(["show", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert printed == json.loads((folder / "diagnosis.json").read_text())


def test_a_run_without_last_words_gets_diagnosis_and_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(here, "killed")
    assert app(["show", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == 150 and printed["exit"] == {"code": None, "exception": None}
    assert {"verdict", "findings", "overhead", "script", "argv", "schema"} <= set(printed)
    assert (folder / "report.html").exists()


def test_show_of_a_folder_that_cannot_be_written_to(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(here, "failing")
    monkeypatch.setattr("surefoot.report.html.write", lambda *_: (_ for _ in ()).throw(PermissionError("read-only")))
    assert app(["show"]) == 0
    assert "report    " not in capsys.readouterr().out


def test_report_writes_beside_the_record_or_where_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(here, "failing")
    assert app(["report"]) == 0
    assert Path(capsys.readouterr().out.strip()).resolve() == folder / "report.html"
    assert app(["report", str(folder), "--out", "train.html"]) == 0
    assert capsys.readouterr().out == "train.html\n"
    assert "learning-rate-too-high" in (here / "train.html").read_text(encoding="utf-8")


def test_refusals_are_one_line_that_says_what_would_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "surefoot run train.py" in refused(["show"], capsys)
    folder = make(here, "failing")
    line = refused(["show", "nowhere"], capsys)
    assert "RUN" in line and "'nowhere'" in line and "surefoot-runs/failing" in line
    assert "'shw'" in refused(["shw"], capsys)
    assert "--colour" in refused(["show", "--colour"], capsys)
    assert "is a folder" in refused(["report", "--out", str(folder)], capsys)
    assert "there is no folder" in refused(["report", "--out", "no/such/page.html"], capsys)
    (here / "other").mkdir()
    assert "other" in refused(["show", "other"], capsys)
    (here / "other" / "run.sqlite").write_text("not a database")
    assert "other" in refused(["show", "other"], capsys)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["show", "--help"], ["report", "-h"]])
def test_help_has_examples_and_fits(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert app(arguments) == 0
    out = capsys.readouterr().out
    assert "  surefoot show\n" in out or "  surefoot report --open\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_help_lists_run_and_passes_its_arguments_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["--help"])
    assert re.search(r"^  run +Run a training script unchanged", capsys.readouterr().out, re.MULTILINE)


def test_version(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import surefoot

    assert app(["--version"]) == 0
    assert capsys.readouterr().out == f"surefoot {surefoot.__version__}\n"


def test_end_to_end_as_a_process(here: Path) -> None:
    make(here, "failing")
    done = subprocess.run([sys.executable, "-m", "surefoot", "show"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("failing  ")
    done = subprocess.run([sys.executable, "-m", "surefoot", "show", "no"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


def test_show_loads_neither_torch_nor_pandas(here: Path) -> None:
    make(here, "failing")
    loaded = "'torch' in sys.modules or 'pandas' in sys.modules"
    code = f"import sys; from surefoot.cli import app; app(['show']); sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0
