"""Settings of a run: what is ignored, what stops it, rules and signals of the user's own, and where they are set."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from torch import nn

import processes
import surefoot
from surefoot.cli import app
from surefoot.cli import run as command
from surefoot.cli.known import ids
from surefoot.findings import Engine, Rule, Sign, diagnose
from surefoot.findings.catalogue import explanations
from surefoot.findings.ignoring import Ignored, told
from surefoot.monitor.config import Config, find
from surefoot.runs import Evidence, Family, open_run

BROKEN = """
import sys, torch, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(512, 20)
y = x[:, :5].argmax(1)
model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]))
for step in range(int(sys.argv[2])):
    try:
        i = torch.randint(512, (64,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[i]), y[i])
        loss.backward()
        optimizer.step()
    except Exception:
        print("swallowed")
    finally:
        if step < 3:
            print(f"{loss.item():.9f}")
print("done")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(BROKEN)
    return tmp_path


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "surefoot", "run", *map(str, words)]
    return processes.run(line, timeout=120)


def diagnosis(folder: Path) -> dict:
    return json.loads((folder / "diagnosis.json").read_text())


# -- ignore ------------------------------------------------------------------------------------------------------------


def sign(*where: str) -> Sign:
    return Sign("warning", "c", tuple(Evidence("s", w, 1, 1.0, 0.0, "") for w in where), where)


def test_ignored_by_id_and_by_module() -> None:
    assert told("dead-units", sign("a", "b"), [Ignored.parse("dead-units")]) is None
    assert told("dead-units", sign("a.0", "b"), [Ignored.parse("saturated-units")]) == sign("a.0", "b")
    rest = told("dead-units", sign("a.0", "b"), [Ignored.parse("dead-units@a.*")])
    assert rest == sign("b")
    both = [Ignored.parse("dead-units@a.*"), Ignored.parse("dead-units@b")]
    assert told("dead-units", sign("a.0", "b"), both) is None
    assert told("dead-units", sign(), both) == sign()  # of the whole run: by its id alone


@pytest.mark.parametrize("text", ["", "@a", "dead-units@", "Dead Units", "dead_units"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ID@module"):
        Ignored.parse(text)


def test_the_engine_does_not_tell_what_is_ignored() -> None:
    rules = [Rule("a", ("f",), lambda h: sign("x")), Rule("b", ("f",), lambda h: sign("x", "y"))]
    engine = Engine(rules, ignored=["a", "b@x"])
    engine.feed_all([(1, Family("f", (("s", ""),)), np.zeros(1, np.float32))])
    assert [(f.id, f.where, f.rank) for f in engine.findings] == [("b", ("y",), 1)]


def test_an_ignored_finding_is_neither_shown_nor_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run("--out", "loud", "train.py", "30", "60")
    loud = diagnosis(here / "loud")
    assert loud["verdict"] == "failing"
    away = [word for finding in loud["findings"] for word in ("--ignore", finding["id"])]
    done = run("--out", "quiet", *away, "train.py", "30", "60")
    assert done.returncode == 0 and "ignored" in done.stderr
    quiet = diagnosis(here / "quiet")
    assert quiet["verdict"] == "healthy" and quiet["findings"] == []
    assert diagnose(here / "quiet") == ()
    (here / "quiet" / "diagnosis.json").unlink()  # as if it had been killed
    assert app(["show", "quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


# -- stop-on -----------------------------------------------------------------------------------------------------------


def test_stops_a_run_that_is_lost(here: Path) -> None:
    done = run("--out", "run", "--stop-on", "critical", "train.py", "30", "100000")
    assert done.returncode == 3
    assert "swallowed" not in done.stdout and "done" not in done.stdout and "Traceback" not in done.stderr
    bare = processes.run([sys.executable, "train.py", "30", "3"], timeout=60)
    assert done.stdout.splitlines() == bare.stdout.splitlines()[:3]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("surefoot: stopped after step")]
    result = diagnosis(here / "run")
    assert result["exit"] == {"code": 3, "exception": None} and result["verdict"] == "failing"
    assert result["steps"] < 2000 and f"step {result['steps']:,} on" in line
    assert any(finding["id"] in line and finding["severity"] == "critical" for finding in result["findings"])
    assert (here / "run" / "report.html").exists()
    record = open_run(here / "run")
    assert record.meta["stop_on"] == "critical" and record.steps == result["steps"]
    assert line.removeprefix("surefoot: ") in [event.data["text"] for event in record.events("note")]


def test_stops_on_an_id_and_on_no_other(here: Path) -> None:
    done = run("--out", "a", "--stop-on", "missing-zero-grad", "train.py", "30", "60")
    assert done.returncode == 0 and done.stdout.endswith("done\n")
    done = run("--out", "b", "--stop-on", "learning-rate-too-high", "train.py", "30", "100000")
    assert done.returncode == 3


def test_a_healthy_run_is_not_stopped(here: Path) -> None:
    watched = run("--out", "run", "--stop-on", "critical", "train.py", "0.1", "300")
    bare = processes.run([sys.executable, "train.py", "0.1", "300"], timeout=60)
    assert (watched.returncode, watched.stdout) == (0, bare.stdout)


def test_a_script_that_catches_everything_is_asked_again(here: Path) -> None:
    text = BROKEN.replace("except Exception:", "except BaseException as error:").replace(
        'print("swallowed")', "print(type(error).__name__, file=sys.stderr)"
    )
    (here / "train.py").write_text(text)
    done = run("--out", "run", "--stop-on", "critical", "train.py", "30", "40")
    assert done.stderr.count("TrainingStopped") > 3
    assert done.stderr.count("surefoot: stopped after") == 1


def test_a_traceback_of_the_scripts_own_shows_no_frame_of_ours(here: Path) -> None:
    text = BROKEN.replace("except Exception:", "except BaseException as error:").replace(
        'print("swallowed")', 'raise RuntimeError("mine") from error'
    )
    (here / "train.py").write_text(text)
    done = run("--out", "run", "--stop-on", "critical", "train.py", "30", "4000")
    assert done.returncode == 1 and "RuntimeError: mine" in done.stderr
    assert "monitor/stop.py" not in done.stderr


def loop(rate: float, steps: int, log: bool = False, seed: int = 0) -> list[float]:
    torch.manual_seed(seed)
    x = torch.randn(256, 20)
    y = x[:, :5].argmax(1)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for step in range(steps):
        i = torch.randint(256, (32,))
        loss = nn.functional.cross_entropy(model(x[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if log and step % 5 == 4:
            surefoot.log("accuracy", (model(x).argmax(1) == y).float().mean())
            surefoot.log("share", step / steps, where="train")
    return [*losses, *(p.double().sum().item() for p in model.parameters())]


def test_watch_stops_too(empty_folder: Path) -> None:
    with pytest.raises(surefoot.TrainingStopped) as stopped, surefoot.watch(out="run", stop_on="critical"):
        loop(30.0, 100_000)
    assert stopped.value.code == 3 and stopped.value.finding.severity == "critical"
    assert diagnosis(Path("run"))["exit"] == {"code": 3, "exception": None}
    loop(30.0, 20)  # and afterwards nothing is in the way


# -- signals and rules of one's own ------------------------------------------------------------------------------------

RULE = """
from surefoot import Evidence
from surefoot.findings import History, Sign, rule


@rule("accuracy-at-chance", needs=("user",))
def accuracy_at_chance(history: History) -> Sign | None:
    steps, values = history.series("accuracy")
    if len(values) < 3 or values[-3:].max() > 0.3:
        return None
    proof = Evidence("accuracy", "", int(steps[-1]), float(values[-1]), 0.3, "five classes; a guess scores 0.2")
    return Sign("warning", "the model does no better than guessing.", (proof,))
"""


def test_log_is_recorded_and_changes_nothing(empty_folder: Path) -> None:
    bare = loop(0.1, 40, log=True)  # nothing is watched: a no-op
    with surefoot.watch(out="run", look_every=1, stop_on="critical") as watch:
        assert loop(0.1, 40, log=True) == bare
    run = open_run("run")
    frame = run.frame("accuracy")
    assert list(frame.index) == [5, 10, 15, 20, 25, 30, 35, 40] and list(frame.columns) == [""]
    assert frame[""].between(0, 1).all() and frame[""].iloc[-1] > 0.3
    assert list(run.frame("share")["train"]) == pytest.approx([s / 40 for s in range(4, 40, 5)])
    assert watch.findings == diagnose("run")


def test_logged_numbers_may_come_late_from_a_device() -> None:
    from surefoot.monitor.logged import Logged
    from surefoot.observe.later import Later

    later = Later(delayed=True)
    logged = Logged(later)
    logged.put(1, "a", 1.0, "")
    logged.put(2, "a", torch.tensor(2.0), "")
    logged.put(2, "b", 3, "x")
    late, later.poll = later.poll, lambda: None  # the device is busy
    assert logged.complete(5) == 1
    assert [step for step, _, _ in logged.rows(1)] == [1]
    later.poll = late
    ((step, family, values),) = logged.rows(logged.complete(5))
    assert step == 2 and dict(zip(family.columns, values, strict=True)) == {("a", ""): 2.0, ("b", "x"): 3.0}
    assert list(logged.rows(None)) == []


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        (3, 1.0, TypeError),
        ("two words", 1.0, ValueError),
        ("", 1.0, ValueError),
        ("a", "1.0", TypeError),
        ("a", None, TypeError),
        ("a", torch.zeros(2), ValueError),
    ],
)
def test_log_refuses_what_is_no_number(name, value, error) -> None:
    with pytest.raises(error, match=r"name|value"):
        surefoot.log(name, value)


def test_log_of_a_name_that_is_taken_is_told_once(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with surefoot.watch(out="run"):
        surefoot.log("loss", 1.0)
        surefoot.log("loss", 2.0)
        loop(0.1, 4)
    assert capsys.readouterr().err.count("log('loss') is left out") == 1


def test_a_rule_of_ones_own_in_ten_lines(here: Path) -> None:
    (here / "rules.py").write_text(RULE)
    text = BROKEN.replace("import sys,", "import surefoot, sys,").replace(
        "        optimizer.step()\n",
        "        optimizer.step()\n        surefoot.log('accuracy', (model(x).argmax(1) == y).float().mean())\n",
    )
    (here / "train.py").write_text(text)
    done = run("--rules", "rules.py", "--out", "run", "train.py", "1e-9", "12")
    assert "accuracy-at-chance" in done.stderr and "· accuracy: " in done.stderr
    done = run("--rules", "rules.py", "--ignore", "accuracy-at-chance", "--out", "quiet", "train.py", "1e-9", "12")
    assert "guessing" not in done.stderr
    done = run("--rules", "rules.py", "--stop-on", "accuracy-at-chance", "--out", "stop", "train.py", "1e-9", "99999")
    assert done.returncode == 3


def test_a_rule_that_fails_costs_itself_only(here: Path) -> None:
    fails = RULE.replace("    steps, values", "    1 / 0\n    steps, values")
    (here / "rules.py").write_text(fails)
    (here / "cannot.py").write_text("import nowhere_to_be_found")
    (here / "train.py").write_text(BROKEN.replace("import sys,", "import surefoot, sys,").replace(
        "        optimizer.step()\n", "        optimizer.step()\n        surefoot.log('accuracy', 0)\n"
    ))  # fmt: skip
    done = run("--rules", "rules.py", "--rules", "cannot.py", "--out", "run", "train.py", "0.1", "12")
    assert done.returncode == 0 and done.stdout.endswith("done\n")
    assert "cannot.py" in done.stderr and "they are left out" in done.stderr
    assert "rule accuracy-at-chance is off after ZeroDivisionError" in " ".join(done.stderr.split())


# -- where they are set ------------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(dedent(text))
    return folder


def test_the_nearest_pyproject_with_settings_counts(tmp_path: Path) -> None:
    write(tmp_path, '[tool.surefoot]\nbudget = 0.05\nignore = ["dead-units@a.*"]\nrules = ["own.py", "pack.rules"]')
    write(tmp_path / "a", "[tool.ruff]\nline-length = 100")
    found = Config(0.05, ("dead-units@a.*",), None, (str(tmp_path / "own.py"), "pack.rules"))
    assert find([tmp_path / "a" / "b"]) == found
    write(tmp_path / "a" / "b", '[tool.surefoot]\nstop_on = "critical"')
    assert find([tmp_path / "a" / "b", tmp_path]) == Config(stop_on="critical")
    assert find([tmp_path / "a", tmp_path / "a" / "b"]) == found
    write(tmp_path / "c" / "d", "tool = [broken")  # not about us
    assert find([tmp_path / "c" / "d"]) == found


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("budget = 2", "budget = 2; it must be a share"),
        ("budget = true", "must be a share"),
        ('ignore = "dead-units"', "must be a list of strings"),
        ("stop_on = 3", "'critical' or a finding's id"),
        ("stop-on = 'critical'", "did you mean 'stop_on'"),
        ("nonsense = 1", "known are budget, ignore, stop_on, rules"),
        ("budget = ", "can't be read"),
    ],
)
def test_settings_that_are_not_understood(here: Path, text: str, say: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, f"[tool.surefoot]\n{text}")
    with pytest.raises(SystemExit) as leaving:
        command.run(["train.py", "1", "1"])
    err = capsys.readouterr().err
    assert leaving.value.code == 2 and say in err and "pyproject.toml" in err and err.count("\n") == 1


def test_the_command_line_goes_before_the_file(here: Path) -> None:
    write(here, '[tool.surefoot]\nbudget = 0.05\nstop_on = "critical"\nignore = ["dead-units"]\nrules = ["r.py"]')
    (here / "own.py").write_text("")
    words = ["--budget", "0.1", "--stop-on", "divergence", "--ignore", "stalled@x", "--rules", "own.py", "train.py"]
    options, _ = command._parse(words)
    assert (options.budget, options.stop_on) == (0.1, "divergence")
    assert options.ignore == ("dead-units", "stalled@x")
    assert options.rules == (str(here / "r.py"), str(here / "own.py"))
    options, _ = command._parse(["train.py"])
    assert (options.budget, options.stop_on, options.ignore) == (0.05, "critical", ("dead-units",))


def test_watch_reads_the_file_and_refuses_what_is_unknown(here: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'dead-units'"):
        surefoot.watch(ignore=["dead-unit"])
    with pytest.raises(ValueError, match="no finding 'zzz'"):
        surefoot.watch(stop_on="zzz")
    with pytest.raises(ValueError, match="nowhere_at_all"):
        surefoot.watch(rules=["nowhere_at_all"])
    write(here, '[tool.surefoot]\nbudget = 0.05\nignore = ["dead-units"]')
    with surefoot.watch(out="run", ignore=["saturated-units@a"]):
        loop(0.1, 2)
    meta = open_run("run").meta
    assert (meta["budget"], meta["ignore"]) == (0.05, ["dead-units", "saturated-units@a"])


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["--ignore", "dead-unit", "train.py"], "did you mean 'dead-units'?"),
        (["--ignore", "dead-units@", "train.py"], "ID or ID@module"),
        (["--stop-on", "divergance", "train.py"], "did you mean 'divergence'?"),
        (["--stop-on", "divergence@a", "train.py"], "critical or an ID"),
        (["--rules", "no.py", "train.py"], "no 'no.py' in"),
        (["--rules", "os", "train.py"], "wants a Python file"),
    ],
)
def test_one_clear_line(here: Path, words: list[str], say: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        command.run(words)
    err = capsys.readouterr().err
    assert leaving.value.code == 2 and say in err and err.count("\n") == 1


def test_ids_are_known_before_the_rules_are_loaded() -> None:
    assert ids() == set(explanations())
