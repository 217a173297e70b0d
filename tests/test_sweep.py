"""``surefoot sweep``: values, plans, launching and going on, reading, forecasts, the command and its page."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sample_run import Sample
from surefoot.cli import app
from surefoot.report import sweep_page
from surefoot.runs import Family
from surefoot.sweeps import launch, plan, read, summary
from surefoot.sweeps.attempt import ENDED
from surefoot.sweeps.forecast import forecasts
from surefoot.sweeps.grid import values
from surefoot.sweeps.read import Outcome

# It does not import torch, so that nothing is watched and a run is quick.
PLAIN = """
import os, sys, time
with open("calls.txt", "a") as file:
    print(*sys.argv[1:], file=file)
if "slow" in sys.argv:
    time.sleep(60)
print("said", os.environ["OMP_NUM_THREADS"])
sys.exit(1 if "bad" in sys.argv else 0)
"""
TRAINED = """
import sys, torch, torch.nn.functional as F
from torch import nn
lr, width = float(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
x = torch.randn(64, 8)
y = x.sum(1, keepdim=True)
model = nn.Sequential(nn.Linear(8, width), nn.Linear(width, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=lr)
for step in range(2000 if lr > 1 else 40):
    loss = F.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


# ---- values and plans ----


def test_values():
    assert values("lr", "1e-4:1e-1:log4") == ("0.0001", "0.001", "0.01", "0.1")
    assert values("width", "64:1024:log5") == ("64", "128", "256", "512", "1024")
    assert values("x", "0:1:lin3") == ("0", "0.5", "1") and values("x", " a, b ") == ("a", "b")
    assert values("x", "1:0:lin2") == ("1", "0")


@pytest.mark.parametrize("text", ["", "1,,2", "1,1", "0:1:log3", "1:2:log1", "a:b:lin3", "1:2", "1:1:lin4", "1:2:cub3"])
def test_values_that_are_none(text):
    with pytest.raises(ValueError, match="--lr"):
        values("lr", text)


def test_a_plan():
    made = plan(
        "python -u -X dev train.py --lr {lr} --tag 'w {width}' {seed}", {"lr": "1,2", "width": "8", "seed": "0,1"}
    )
    assert made.rate == "lr" and made.sizes == ("width",) and len(made.trials) == 4
    first = made.trials[0]
    assert first.name == "lr=1,width=8,seed=0" and first.values == {"lr": "1", "width": "8", "seed": "0"}
    command = first.command("there", ("--budget", "0.1"))
    assert command[:4] == [sys.executable, "-u", "-X", "dev"]
    assert command[4:9] == ["-m", "surefoot", "run", "--out", "there"]
    assert command[-6:] == ["train.py", "--lr", "1", "--tag", "w 8", "0"] and "0.1" in command
    assert plan("/usr/bin/python3.12 -m pkg {n}", {"n": "1"}).trials[0].command("x")[0] == "/usr/bin/python3.12"
    assert plan("train.py {learning_rate}", {"learning-rate": "1"}).rate == "learning_rate"
    assert plan("train.py '{\"a\": 1}' {n}", {"n": "1"}).trials[0].script == ("train.py", '{"a": 1}', "1")


@pytest.mark.parametrize(
    "template, given, match",
    [
        ("python train.py", {}, "no placeholder"),
        ("python train.py {lr}", {}, "--lr"),
        ("python train.py {lr}", {"lr": "1", "widht": "2"}, "--widht"),
        ("python train.py {lr}", {"lr": "0,1"}, "no learning rate"),
        ("python train.py {lr}", {"lr": "a"}, "no learning rate"),
        ("bash train.sh {n}", {"n": "1"}, "bash"),
        ("python -u {n}", {"n": "1"}, None),
        ("python -u", {"n": "1"}, "no placeholder"),
        ("python 'x {n}", {"n": "1"}, "COMMAND"),
        ("python x {n}", {"n": "a/b,a b"}, "two runs"),
    ],
)
def test_plans_that_are_none(template, given, match):
    if match is None:
        assert plan(template, given).trials
        return
    with pytest.raises(ValueError, match=match):
        plan(template, given)


# ---- launching ----


@pytest.fixture
def script(empty_folder: Path) -> Path:
    (empty_folder / "plain.py").write_text(PLAIN)
    (empty_folder / "trained.py").write_text(TRAINED)
    return empty_folder


def calls() -> list[str]:
    return sorted(Path("calls.txt").read_text().split("\n")[:-1])


def test_runs_are_done_once_and_failures_are_results(script):
    told = []
    sweep = plan("plain.py {n}", {"n": "1,bad,3"})
    launch(sweep, "out", workers=2, listener=lambda *state: told.append(state))
    assert calls() == ["1", "3", "bad"] and told[0] == (0, 3, "") and told[-1][:2] == (3, 3)
    assert [o.state for o in read(sweep, "out")] == ["failed"] * 3  # nothing was recorded
    assert [o.code for o in read(sweep, "out")] == [0, 1, 0]
    assert "said" in Path("out/n=1/output.txt").read_text()
    # half a run is done again, a finished one is not, and one more value is one more run
    Path("out/n=3", ENDED).unlink()
    Path("out/n=1.part-00").mkdir()
    launch(plan("plain.py {n}", {"n": "1,bad,3,4"}), "out")
    assert calls() == ["1", "3", "3", "4", "bad"] and not list(Path("out").glob("*.part-*"))


def test_what_launch_refuses(script):
    sweep = plan("plain.py {n}", {"n": "1"})
    for options, match in (
        ({"engine": "slurm"}, "--engine"),
        ({"workers": 0}, "--workers"),
        ({"address": "auto"}, "--address"),
    ):
        with pytest.raises(ValueError, match=match):
            launch(sweep, "out", **options)
    Path("mine").mkdir()
    Path("mine/thesis.txt").touch()
    with pytest.raises(ValueError, match="other things"):
        launch(sweep, "mine")
    launch(sweep, "out")
    with pytest.raises(ValueError, match="the sweep of"):
        launch(plan("plain.py {n} more", {"n": "1"}), "out")


def test_a_killed_sweep_ends_its_runs_and_goes_on(script):
    command = [sys.executable, "-m", "surefoot", "sweep", "plain.py {n}", "--n", "1,slow", "--out", "out"]
    process = subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    limit = time.monotonic() + 60
    while not (Path("out/n=1").exists() and "slow" in calls()) and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert Path("out/n=1").exists() and not Path("out/n=slow").exists()
    halves = list(Path("out").glob("n=slow.part-*"))
    assert len(halves) == 1
    Path("plain.py").write_text(PLAIN.replace("60", "0"))
    launch(plan("plain.py {n}", {"n": "1,slow"}), "out")
    assert calls() == ["1", "slow", "slow"] and Path("out/n=slow").exists()


class Task:
    """What ``ray.remote`` of a function is, in this process."""

    def __init__(self, function):
        self.remote = lambda *arguments: partial(function, *arguments)


def test_rays_tasks_send_their_folder(script, monkeypatch):
    seen = {}
    fake = types.ModuleType("ray")
    fake.is_initialized = lambda: False
    fake.init = lambda **options: seen.update(options)
    fake.shutdown = lambda: seen.update(closed=True)
    fake.remote = lambda **options: Task
    fake.wait = lambda references, num_returns: (references[:1], references[1:])
    fake.get = lambda reference: reference()
    monkeypatch.setitem(sys.modules, "ray", fake)
    sweep = plan("plain.py {n}", {"n": "1,bad"})
    told = []
    launch(sweep, "out", engine="ray", listener=lambda *state: told.append(state[:2]))
    assert [o.code for o in read(sweep, "out")] == [0, 1] and seen["closed"] and told == [(0, 2), (1, 2), (2, 2)]
    assert sorted(os.listdir("out/n=1")) == ["output.txt", "trial.json"] and calls() == ["1", "bad"]
    seen.clear()
    fake.remote = lambda **options: (
        lambda function: Task(lambda trial, options, cwd: {ENDED: b'{"code": 0, "seconds": 1}'})
    )
    launch(plan("plain.py {n}", {"n": "1,bad,3"}), "out", engine="ray", address="ray://far:10001")
    assert seen["address"] == "ray://far:10001" and seen["runtime_env"] == {"working_dir": str(script)}


def test_without_ray(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"surefoot\[ray\]"):
        launch(plan("plain.py {n}", {"n": "1"}), "out", engine="ray")


# ---- reading ----

STEP = Family("step", (("loss", ""), ("learning_rate", ""), ("step_time", "")))
ATTENTION = Family("attention", (("attention_logit_max", "a"), ("attention_logit_max", "b")))
GRADIENTS = Family("gradients", (("gradient_rms", "a"), ("gradient_rms", "b")))


def record(folder: Path, losses, code: int = 0, findings=()) -> None:
    sample = Sample()
    for step, loss in enumerate(losses, 1):
        sample.add(step, STEP, loss, 0.1, 0.01)
        if step in (4, 8) and len(losses) > 8:
            sample.add(step, ATTENTION, 2.0 * step, 1.0)
            sample.add(step, GRADIENTS, 0.0, 1e-6)
    sample.write(folder)
    (folder / ENDED).write_text(json.dumps({"code": code, "seconds": 1.0}))


def test_what_is_read_of_a_run(tmp_path):
    sweep = plan("t.py {lr}", {"lr": "1,2,3,4"})
    record(tmp_path / "lr=1", [2.0] * 15 + [1.0, 1.0])
    record(tmp_path / "lr=2", [2.0, math.inf])
    record(tmp_path / "lr=3", [2.0, 1.0], code=1)
    found = read(sweep, tmp_path)
    assert [o.state for o in found] == ["finished", "diverged", "failed", "missing"]
    first = found[0]
    assert (first.first_loss, first.train_loss, first.steps) == (2.0, 1.0, 17) and math.isnan(first.valid_loss)
    steps, logits = first.numbers["attention_logit_max"]
    assert steps.tolist() == [4, 8] and logits.tolist() == [8, 16]
    assert all(math.isnan(o.train_loss) for o in found[1:])


def outcome(size: float, lr: str, *, logits=None, gradient=None, loss: float = 1.0, state="finished") -> Outcome:
    steps = np.array([1, 2, 4, 8])
    numbers = {}
    if logits is not None:
        numbers["attention_logit_max"] = (steps, logits * steps / 8.0)
    if gradient is not None:
        numbers["gradient_over_eps"] = (steps, np.full(4, gradient))
    return Outcome(
        f"{lr},{size:g}", {"lr": lr, "width": f"{size:g}"}, state, 0, 1.0, 8, size, 3.0, loss, math.nan, numbers
    )


def test_forecasts_of_exact_laws():
    sizes = (1e3, 1e4, 1e5, 1e6)
    outcomes = [outcome(n, "0.1", logits=n**0.5, gradient=1e6 / n) for n in sizes]
    outcomes += [outcome(n, "0.01", logits=30 / n**0.1) for n in sizes]
    made = {(f.quantity.name, f.rate): f for f in forecasts(outcomes, "lr")}
    rising = made["attention_logit_max", "0.1"]
    assert rising.state == "ahead" and rising.exponent == pytest.approx(0.5) and rising.step == 8
    assert rising.crossing.size == pytest.approx(1e8, rel=0.02)
    assert rising.held.factor == pytest.approx(1) and rising.held.size == 1e6
    assert made["attention_logit_max", "0.01"].state == "none"
    falling = made["gradient_over_eps", "0.1"]
    assert falling.state == "crossed" and falling.crossed_at == 1e6
    # a run that was stopped at step 4 sets the step at which all sizes are compared
    steps = np.array([1, 2, 4])
    outcomes[3] = Outcome(
        "x", {"lr": "0.1"}, "diverged", 3, 1.0, 4, 1e6, 3.0, numbers={"attention_logit_max": (steps, steps * 50.0)}
    )
    early = forecasts(outcomes, "lr")[1]
    assert early.step == 4 and early.values[:3] == pytest.approx([0.5 * n**0.5 for n in sizes[:3]])
    assert forecasts(outcomes[:1], "lr") == []


def swept(outcomes) -> dict:
    widths = ",".join(dict.fromkeys(o.values["width"] for o in outcomes))
    return summary(plan("t.py {lr} {width}", {"lr": "0.01,0.1", "width": widths}), outcomes)


def test_the_summary_and_its_page(tmp_path):
    outcomes = [outcome(n, lr, logits=n**0.5, loss=1 + float(lr)) for n in (1e3, 1e4, 1e5) for lr in ("0.01", "0.1")]
    outcomes[1] = outcome(1e3, "0.1", loss=math.nan, state="diverged")
    found = swept(outcomes)
    json.dumps(found, allow_nan=False)
    assert [curve["size"] for curve in found["curves"]] == ["width 1000", "width 10000", "width 100000"]
    assert found["curves"][0]["sensitivity"] == pytest.approx((1.01 + 3.0) / 2 - 1.01)
    assert found["curves"][1]["sensitivity"] == pytest.approx(0.045) and found["loss"] == "training"
    assert found["held_back"]["checks"] == 1 and found["held_back"]["median_factor"] == pytest.approx(1)
    path = sweep_page.write(found, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert (
        "diverged" in text and "largest attention logit" in text and sweep_page.tally(found) == "5 finished, 1 diverged"
    )
    assert "at 100M (any size)" in text  # of two sizes at rate 0.1


def test_a_sweep_without_rates_or_sizes():
    found = summary(plan("t.py {seed}", {"seed": "0,1"}), [Outcome(f"seed={n}", {"seed": n}, "missing") for n in "01"])
    assert found["curves"][0]["sensitivity"] == "nan" and found["forecasts"] == []
    assert "not checked" in sweep_page.held_back(found["held_back"])
    assert "<svg" not in sweep_page.page(found)


# ---- the command ----


def test_sweep_end_to_end(script, capsys):
    words = ["sweep", "trained.py {lr} {width}", "--lr", "0.01,10", "--width=4", "--out", "out", "--workers", "2"]
    assert app(words) == 0
    told = capsys.readouterr().out
    assert "1 finished, 1 diverged" in told and "diverged" in told and max(map(len, told.split("\n"))) <= 80
    found = json.loads(Path("out/sweep.json").read_text())
    lost = [run for run in found["runs"] if run["state"] == "diverged"]
    assert len(lost) == 1 and all(run["steps"] < 2000 and run["code"] == 3 for run in lost)  # stopped early
    assert "no finding" not in Path("out/lr=10,width=4/output.txt").read_text()
    assert Path("out/report.html").stat().st_size < 8e6
    assert app(words) == 0  # nothing is left to do
    assert json.loads(Path("out/sweep.json").read_text())["runs"] == found["runs"]


@pytest.mark.parametrize(
    "words, match",
    [
        (["t.py {lr}", "--lr"], "--lr: wants values"),
        (["t.py {lr}", "--lr", "1", "--lr", "2"], "given twice"),
        (["t.py {lr}", "--lr", "1", "stray"], "'stray'"),
        (["t.py {lr}", "--lr", "1", "--budget", "0"], "--budget"),
    ],
)
def test_mistakes_are_one_line(words, match, capsys, empty_folder):
    assert app(["sweep", *words]) == 2
    error = capsys.readouterr().err
    assert match in error and error.count("\n") == 1


def test_one_of_several_findings_that_stop_a_run_is_unknown(script, capsys):
    from surefoot.__main__ import main

    with pytest.raises(SystemExit) as refused:
        main(["run", "--stop-on", "divergence,non-finit", "plain.py"])
    assert refused.value.code == 2 and "non-finite" in capsys.readouterr().err
