"""The command line of ``surefoot run``: what it understands, and the one line it says where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from surefoot.cli import run as command
from surefoot.monitor.options import RunOptions


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    (tmp_path / "train.py").write_text("")
    return "train.py"


def test_defaults(script: str) -> None:
    assert command._parse([script]) == (RunOptions("train.py", home=os.getcwd()), False)


def test_what_follows_the_script_is_the_scripts(script: str) -> None:
    words = ["--out", "x", "-m", "--help", "--", "--budget=7", ""]
    options, _ = command._parse(["--look-every", "3", "--look=replay", script, *words])
    assert options.argv == tuple(words)
    assert (options.out, options.look_every, options.look) == (None, 3, "replay")
    assert command._parse(["--quiet", "--", script, "--"])[0] == RunOptions(
        script, ("--",), home=os.getcwd(), quiet=True
    )


def test_modules(script: str) -> None:
    options, module = command._parse(["--no-report", "-m", "package.train", "-m", "x"])
    assert module
    assert (options.script, options.argv, options.report) == ("package.train", ("-m", "x"), False)
    assert command._parse(["-mpackage", "x"]) == (RunOptions("package", ("x",), home=os.getcwd()), True)


def test_folders_do_not_depend_on_where_the_script_goes(script: str, tmp_path: Path) -> None:
    assert command._parse(["--out", "a/b", script])[0].out == str(tmp_path / "a" / "b")
    (tmp_path / "run.sqlite").touch()
    assert command._parse(["--resume", ".", script])[0].resume == str(tmp_path)


@pytest.mark.parametrize(
    ("words", "say"),
    [
        ([], "no script to run"),
        (["--quiet"], "no script to run"),
        (["-m"], "name of a module"),
        (["nowhere.py"], "no script 'nowhere.py' in "),
        (["--budget", "0", "train.py"], "above 0 and at most 1, not '0'"),
        (["--budget", "2%", "train.py"], "above 0 and at most 1, not '2%'"),
        (["--budget"], "expected one argument"),
        (["--look-every", "0", "train.py"], "1 or more, not '0'"),
        (["--look", "away", "train.py"], "invalid choice: 'away'"),
        (["--outt", "x", "train.py"], "unrecognized arguments: --outt"),
        (["--resume", ".", "train.py"], "'.' holds no run.sqlite"),
        (["--resume", "a", "--out", "b", "train.py"], "leave --out away"),
        (["--out", "old", "train.py"], "'old' holds a run already"),
    ],
)
def test_one_clear_line(
    script: str, tmp_path: Path, words: list[str], say: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.sqlite").touch()
    with pytest.raises(SystemExit) as leaving:
        command.run(words)
    assert leaving.value.code == 2
    err = capsys.readouterr().err
    assert say in err
    assert err.startswith("surefoot run: ")
    assert err.count("\n") == 1


def test_each_rank_has_its_own_record(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.sqlite").touch()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert command._parse(["--out", ".", script])[0].out == str(tmp_path)
    (tmp_path / "run.rank1.sqlite").touch()
    with pytest.raises(SystemExit):
        command._parse(["--out", ".", script])


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        command.run(["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for option in ("-m", "--out", "--resume", "--budget", "--look-every", "--look", "--quiet", "--no-report"):
        assert option in text
