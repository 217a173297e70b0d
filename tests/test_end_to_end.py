"""The whole chain as a user meets it: ``surefoot run script.py``, and what it leaves behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import processes
import surefoot
from surefoot.runs import open_run

SCRIPT = """
import sys, time, torch, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0)
torch.set_num_threads(1)
steps, rate, pause = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
data = torch.randn(512, 20)
labels = data[:, :5].argmax(1)
model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
optimizer = torch.optim.Adam(model.parameters(), lr=rate)
print("ready", flush=True)
for step in range(steps):
    index = torch.randint(512, (64,))
    loss = F.cross_entropy(model(data[index]), labels[index])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    time.sleep(pause)
    if step == 200:
        print("on its way", flush=True)
    if step + 1 == int(sys.argv[4] if len(sys.argv) > 4 else -1):
        raise RuntimeError("the script's own")
print(f"final {loss.item():.9f}", sum(p.double().sum().item() for p in model.parameters()))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def command(script, *arguments, out, options=()):
    return [sys.executable, "-m", "surefoot", "run", "--out", str(out), *options, str(script), *map(str, arguments)]


def run(script, *arguments, out, options=(), **kwargs):
    return processes.run(command(script, *arguments, out=out, options=options), timeout=120, **kwargs)


def diagnosis(out: Path) -> dict:
    return json.loads((out / "diagnosis.json").read_text())


def test_a_healthy_run(script, tmp_path):
    bare = processes.run([sys.executable, script, "200", "1e-3", "0"])
    watched = subprocess.run(
        command(script, 200, "1e-3", 0, out=tmp_path / "run"), capture_output=True, text=True, timeout=120
    )
    assert watched.stdout == bare.stdout  # to the last digit of the loss and the weights
    assert watched.returncode == 0
    found = diagnosis(tmp_path / "run")
    assert (found["verdict"], found["steps"], found["exit"]) == ("healthy", 200, {"code": 0, "exception": None})
    assert found["schema"] == 1
    assert found["overhead"]["looks"]["hooks"] > 0
    assert "healthy" in watched.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "train.py" in page
    assert len(page) < 8_000_000
    record = open_run(tmp_path / "run")
    assert record.steps == 200
    assert list(record.frame("gradient_rms").columns) == ["0", "2", "4"]
    assert record.meta["argv"] == ["200", "1e-3", "0"]
    assert surefoot.diagnose(record) == record.findings == ()


def test_a_rate_that_ruins_the_run_is_named(script, tmp_path):
    run(script, 200, 3.0, 0, out=tmp_path / "run")
    found = diagnosis(tmp_path / "run")
    assert found["verdict"] == "failing"
    first = found["findings"][0]
    assert (first["id"], first["rank"], first["because_of"]) == ("learning-rate-too-high", 1, None)
    assert first["detected_step"] < 100
    assert first["evidence"]
    assert first["remedies"][0]["how"].startswith("# after: optimizer")
    # judged live and afterwards, the same to the letter
    assert surefoot.diagnose(tmp_path / "run") == open_run(tmp_path / "run").findings


def test_the_scripts_own_exception(script, tmp_path):
    bare = subprocess.run([sys.executable, script, "50", "1e-3", "0", "30"], capture_output=True, text=True)
    watched = run(script, 50, "1e-3", 0, 30, out=tmp_path / "run", options=["--quiet"])
    assert watched.returncode == bare.returncode == 1
    assert watched.stderr == bare.stderr  # the traceback, with no frame of ours
    found = diagnosis(tmp_path / "run")
    assert found["steps"] == 30
    assert found["exit"] == {"code": 1, "exception": "RuntimeError: the script's own"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_script_and_keep_the_record(script, tmp_path, number):
    process = subprocess.Popen(
        command(script, 100000, "1e-3", 0.001, out=tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "on its way\n"]
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -number, errors
    record = open_run(tmp_path / "run")
    assert record.steps >= 200
    if number == signal.SIGINT:
        assert diagnosis(tmp_path / "run")["exit"]["exception"].startswith("KeyboardInterrupt")
    shown = processes.run([sys.executable, "-m", "surefoot", "show", tmp_path / "run"])
    assert shown.returncode == 0, shown.stderr
    assert "healthy" in shown.stdout


def test_killed_at_any_moment_the_record_can_be_read(script, tmp_path):
    """What is on the disk while a process stands still is what it would leave if it were killed there."""
    chance = random.Random(0)
    out, moments = tmp_path / "run", []
    process = subprocess.Popen(
        command(script, 100000, "1e-3", 0, out=out), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for trial in range(2):
        time.sleep(chance.uniform(0, 1))
        process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        moments.append(shutil.copytree(out, tmp_path / str(trial)))
        process.send_signal(signal.SIGCONT)
    time.sleep(chance.uniform(0, 1))
    process.kill()
    process.wait()
    for moment in (*moments, out):
        record = open_run(moment)
        assert record.diagnosis is None
        surefoot.diagnose(record)
        for signal_name in record.signals():
            record.frame(signal_name)


def test_a_full_disk_stops_the_recording_and_nothing_else(script, tmp_path):
    script.write_text("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n" + SCRIPT)
    bare = processes.run([sys.executable, script, "300", "1e-3", "0"])
    watched = run(script, 300, "1e-3", 0, out=tmp_path / "run", options=["--look-every", "1"])
    assert watched.returncode == 0
    assert watched.stdout == bare.stdout
    assert watched.stderr.count("recording stopped") == 1
    assert open_run(tmp_path / "run").steps > 0


def test_loaders_and_forks_are_left_alone(tmp_path):
    script = tmp_path / "loader.py"
    script.write_text(
        """
import os, torch, torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
def main():
    data = DataLoader(TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), 16, num_workers=2, shuffle=True)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        for x, y in data:
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()
    print(model.weight.sum().item())
    if os.fork() == 0:
        for x, y in [(torch.ones(2, 4), torch.ones(2, 1))] * 5:
            (model(x) - y).square().mean().backward()
            optimizer.step()
        os._exit(0)
    os.wait()
if __name__ == "__main__":
    main()
"""
    )
    bare = processes.run([sys.executable, script])
    watched = run(script, out=tmp_path / "run", options=["--quiet"])
    assert (watched.stdout, watched.stderr, watched.returncode) == (bare.stdout, bare.stderr, 0)
    assert diagnosis(tmp_path / "run")["steps"] == 12


def test_a_run_is_continued(script, tmp_path):
    run(script, 100, "1e-3", 0, out=tmp_path / "run")
    again = processes.run(
        [sys.executable, "-m", "surefoot", "run", "--resume", tmp_path / "run", script, "50", "3.0", "0"]
    )
    assert again.returncode == 0, again.stderr
    record = open_run(tmp_path / "run")
    assert record.steps == 150
    assert diagnosis(tmp_path / "run")["steps"] == 150
    assert surefoot.diagnose(record) == record.findings


class TestWatch:
    def loop(self, model, optimizer, steps=30):
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()

    def test_as_a_context_manager(self, tmp_path):
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        with surefoot.watch(model, optimizer, out=tmp_path / "run") as watch:
            self.loop(model, optimizer)
            assert watch.findings == ()
            assert "watching" in repr(watch)
        assert open_run(tmp_path / "run").steps == 30
        assert diagnosis(tmp_path / "run")["exit"]["code"] == 0
        assert "srcdoc" in watch._repr_html_()
        self.loop(model, optimizer)  # no longer watched
        assert open_run(tmp_path / "run").steps == 30

    def test_as_an_object(self, tmp_path):
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        watch = surefoot.watch(model, optimizer, out=tmp_path / "run")
        try:
            with pytest.raises(RuntimeError, match="watched already"):
                surefoot.watch(model, optimizer, out=tmp_path / "other")
            self.loop(model, optimizer)
        finally:
            run = watch.close()
        assert run.steps == 30
        assert watch.close().steps == 30

    def test_it_tells_of_findings_and_of_exceptions(self, tmp_path):
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        told = []
        with (
            pytest.raises(ZeroDivisionError),
            surefoot.watch(model, optimizer, out=tmp_path / "run", look_every=1, on_finding=told.append) as watch,
        ):
            for _ in range(20):  # gradients are never cleared
                model(torch.randn(16, 4)).square().mean().backward()
                optimizer.step()
            assert [f.id for f in watch.findings] == ["missing-zero-grad"]
            assert [f.id for f in told] == ["missing-zero-grad"]
            raise ZeroDivisionError
        assert diagnosis(tmp_path / "run")["exit"] == {"code": 1, "exception": "ZeroDivisionError"}

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"model": 3}, TypeError, "model must be a torch"),
            ({"optimizer": "sgd"}, TypeError, "optimizer must be a torch"),
            ({"budget": 0}, ValueError, "budget is a share"),
            ({"look_every": 0}, ValueError, "look_every counts steps"),
            ({"look": "stare"}, ValueError, "look must be"),
        ],
    )
    def test_bad_arguments_are_told(self, arguments, error, message, tmp_path):
        with pytest.raises(error, match=message):
            surefoot.watch(**arguments, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_folder_that_holds_a_run_is_kept(self, tmp_path):
        with surefoot.watch(out=tmp_path / "run"):
            pass
        with pytest.raises(ValueError, match="holds a run already"):
            surefoot.watch(out=tmp_path / "run")

    def test_inside_surefoot_run_the_handle_reads_the_whole_run(self, tmp_path):
        script = tmp_path / "inner.py"
        script.write_text(
            """
import surefoot, torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with surefoot.watch(model, optimizer, out="elsewhere") as watch:
    for _ in range(5):
        optimizer.zero_grad(); model(torch.ones(1, 2)).sum().backward(); optimizer.step()
print(watch.path.name)
"""
        )
        watched = run(script, out=tmp_path / "run", cwd=tmp_path)
        assert watched.stdout == "run\n", watched.stderr
        assert diagnosis(tmp_path / "run")["steps"] == 5
        assert not (tmp_path / "elsewhere").exists()


def test_secrets_are_masked(script, tmp_path):
    from surefoot.monitor.environment import mask_arguments, surroundings

    assert mask_arguments(["--hf-token", "abc", "--lr", "1", "api_key=xyz", "--password=p", "key"]) == [
        "--hf-token",
        "•••",
        "--lr",
        "1",
        "api_key=•••",
        "--password=•••",
        "key",
    ]
    os.environ["MY_SECRET"] = "hidden"
    try:
        assert "hidden" not in json.dumps(surroundings())
    finally:
        del os.environ["MY_SECRET"]
