"""``surefoot live``: a frame of a growing record, judged piece by piece, and the end of it."""

from __future__ import annotations

import json
import threading
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sample_run import SAMPLES
from surefoot.cli import app
from surefoot.findings import diagnose
from surefoot.report.dashboard import Dashboard
from surefoot.runs import RunWriter, open_run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


class Growing:
    """A run that is written step by step, as the monitor does."""

    def __init__(self, folder: Path, name: str = "failing") -> None:
        self.sample = SAMPLES[name]()
        self.sample.rows.sort(key=lambda row: (row[0], row[1].name))
        self.writer = RunWriter(folder)
        self.writer.meta(**self.sample.meta)
        self.folder, self.row, self.event = folder, 0, 0
        self.writer.flush()

    def until(self, step: int) -> None:
        while self.event < len(self.sample.events) and self.sample.events[self.event][0] <= step:
            at, kind, data = self.sample.events[self.event]
            self.writer.event(at, kind, **data)
            self.event += 1
        while self.row < len(self.sample.rows) and self.sample.rows[self.row][0] <= step:
            self.writer.row(*self.sample.rows[self.row])
            self.row += 1
        self.writer.flush()

    def end(self) -> None:
        self.until(10**9)
        self.writer.close()
        (self.folder / "diagnosis.json").write_text(json.dumps(self.sample.diagnosis()))


def text(board: Dashboard, width: int = 80) -> str:
    console = Console(width=width, color_system=None, record=True, file=StringIO())
    console.print(board.frame(console))
    return console.export_text()


def test_it_is_judged_as_it_grows(here: Path) -> None:
    run = Growing(here / "run")
    board = Dashboard(open_run(here / "run"))
    board.update()
    assert "no steps" in text(board) and "nothing so far" in text(board) and board.line().startswith("step 0")
    for step in (1, 2, 3, 10, 11, 50, 150):
        run.until(step)
        board.update()
    assert board.step == 149 and not board.ended
    shown = text(board)
    assert max(map(len, shown.splitlines())) <= 80
    assert "running" in shown and "loss" in shown and "149 steps" in shown
    run.until(10**9)
    run.writer.close()
    for _ in range(2):
        board.update()
    ids = {f.id for f in board.findings}
    assert ids == {f.id for f in diagnose(here / "run")} and ids


def test_rows_are_fed_once_and_in_order(here: Path) -> None:
    run = Growing(here / "run")
    board = Dashboard(open_run(here / "run"))
    fed: list[int] = []
    feed = board._engine.feed
    board._engine.feed = lambda step, family, values: (fed.append(step), feed(step, family, values))[1]
    for step in (5, 5, 40, 41, 200):
        run.until(step)
        board.update()
    run.end()
    board.update()
    assert board.ended and fed == sorted(fed) and len(fed) == len(run.sample.rows)


def test_the_last_frame_is_the_diagnosis(here: Path) -> None:
    folder = SAMPLES["failing"]().write(here / "run")
    board = Dashboard(open_run(folder))
    board.update()
    assert board.ended and board.findings == open_run(folder).findings
    assert "ended by KeyboardInterrupt" in text(board) and "learning-rate-too-high" in text(board)


def test_every_sample_can_be_shown_at_any_width(here: Path) -> None:
    for name, make in SAMPLES.items():
        board = Dashboard(open_run(make().write(here / name)))
        board.update()
        for width in (40, 80, 200):
            assert max(map(len, text(board, width).splitlines())) <= width, name


def test_once_prints_one_frame(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SAMPLES["killed"]().write(here / "surefoot-runs" / "killed")
    assert app(["live", "--once"]) == 0
    out = capsys.readouterr().out
    assert out.count("watching") == 1 and max(map(len, out.splitlines())) <= 80


def test_without_a_terminal_it_prints_lines_and_ends_with_the_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Growing(here / "run")

    def grow() -> None:
        for step in (20, 60, 120):
            run.until(step)
            time.sleep(0.25)
        run.end()

    thread = threading.Thread(target=grow)
    thread.start()
    assert app(["live", "run", "--every", "0.1"]) == 0
    thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3 and lines[-1].endswith("ended") and "failing" in lines[-1]


def test_a_nan_of_the_scripts_own_is_shown(here: Path) -> None:
    folder = SAMPLES["nonfinite"]().write(here / "run")
    board = Dashboard(open_run(folder))
    board.update()
    losses = board._losses[""][1]
    assert not np.isfinite(losses).all() and "×" in text(board)


def test_refusals_and_help(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(["live", "nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert app(["live", "--help"]) == 0
    out = capsys.readouterr().out
    assert "  surefoot live\n" in out and max(map(len, out.splitlines())) <= 80
