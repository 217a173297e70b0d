"""Where a loop runs and how it ends: notebooks, processes that a script starts itself, runs that are continued."""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import processes
import surefoot
from surefoot.runs import open_run

TRAIN = """
import os, sys, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
step = 0
if os.path.exists("last.pt"):
    saved = torch.load("last.pt")
    step = saved["step"]
    model.load_state_dict(saved["model"]), optimizer.load_state_dict(saved["optimizer"])
print("from", step, flush=True)
while step < int(sys.argv[1]):
    x = torch.randn(32, 20)
    loss = F.cross_entropy(model(x), x[:, :5].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    step += 1
    if step % 50 == 0:
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, "new.pt")
        os.replace("new.pt", "last.pt")
print("at", step, flush=True)
"""


def surefoot_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "surefoot", "run", *arguments]
    return processes.run(command, cwd=folder, timeout=120)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_preempted_job_is_continued(number, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    command = [sys.executable, "-m", "surefoot", "run", "--out", "run", "--quiet", "train.py", "1000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "from 0\n"
        time.sleep(random.Random(0).uniform(2, 3))
        process.send_signal(number)
        process.wait(timeout=30)
    assert process.returncode == -number
    first = open_run(tmp_path / "run")
    reached = first.steps
    assert reached > 50
    assert first.diagnosis is None
    again = surefoot_run(tmp_path, "--resume", "run", "train.py", "0")
    assert again.returncode == 0, again.stderr  # nothing left to do: the record stays what it is
    wanted = torch.load(tmp_path / "last.pt")["step"] + 200
    again = surefoot_run(tmp_path, "--resume", "run", "train.py", str(wanted))
    assert again.returncode == 0, again.stderr
    run = open_run(tmp_path / "run")
    assert run.steps == reached + 200  # steps go on counting
    losses = run.frame("loss")[""].dropna()
    assert losses.index.is_monotonic_increasing and losses.index[-1] > reached
    assert len(run.meta["resumed"]) == 2
    assert run.diagnosis["steps"] == run.steps and run.diagnosis["verdict"] == "healthy"
    assert surefoot.diagnose(run) == run.findings


SPAWN = """
import torch, torch.multiprocessing as mp

def train(rank):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(5):
        optimizer.zero_grad(); model(torch.ones(2, 3)).sum().backward(); optimizer.step()

if __name__ == "__main__":
    mp.spawn(train, nprocs=2)
    print("done")
"""


def test_training_in_spawned_processes_is_told_to_be_unseen(tmp_path):
    (tmp_path / "spawn.py").write_text(SPAWN)
    done = surefoot_run(tmp_path, "--out", "run", "--quiet", "spawn.py")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr.count("mp.spawn") == 1
    assert "torchrun -m surefoot run" in done.stderr
    assert open_run(tmp_path / "run").steps == 0


NOTEBOOK = [
    "import torch, surefoot\n"
    "model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))\n"
    "optimizer = torch.optim.SGD(model.parameters(), 0.01)\n"
    "def train(steps):\n"
    "    for _ in range(steps):\n"
    "        optimizer.zero_grad()\n"
    "        model(torch.randn(16, 4)).square().mean().backward()\n"
    "        optimizer.step()",
    "watch = surefoot.watch(model, optimizer, out='run')\nwatch",
    "train(20)",
    "train(10)\nprint(len(watch.findings))",
    "watch.close()\nwatch",
]


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("nbclient", "nbformat", "ipykernel"))), reason="no notebook is installed"
)
def test_a_notebook_shows_the_report_below_its_cell(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in NOTEBOOK])
    kernel = {"name": "python3", "display_name": "Python", "language": "python"}
    book.metadata.kernelspec = kernel
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    during, _, counted, after = (cell.outputs for cell in book.cells[1:])
    assert "surefoot is watching" in during[0].data["text/html"]
    assert counted[0].text == "0\n"
    page = after[0].data["text/html"]
    assert page.startswith("<iframe srcdoc=") and "healthy" in page
    run = open_run(tmp_path / "run")
    assert run.steps == 30
    assert list(run.frame("gradient_rms").columns) == ["0", "2"]
    assert json.loads((tmp_path / "run" / "diagnosis.json").read_text())["exit"]["code"] == 0


def test_a_cell_without_a_file_gets_a_name(tmp_path):
    code = "import os; os.chdir({!r})\nimport surefoot\nwatch = surefoot.watch()\nprint(watch.path)\nwatch.close()"
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(tmp_path))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name.startswith("notebook-")
