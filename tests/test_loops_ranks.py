"""Several processes that train one model: one record a rank in one folder, joined when it is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import processes
import surefoot
from surefoot.runs import RunWriter, open_run
from surefoot.runs.schema import Family

TRAIN = """
import os, sys, torch, torch.nn as nn, torch.nn.functional as F, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
torch.set_num_threads(1)
mode = sys.argv[1]
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
wrapped = model if mode == "unwrapped" else DistributedDataParallel(model)
optimizer = torch.optim.AdamW(wrapped.parameters(), lr=1e-3)
draw = torch.Generator().manual_seed(100 + rank)  # each rank has data of its own
for step in range(int(sys.argv[2])):
    if mode == "death" and rank == 1 and step == 100:
        raise RuntimeError("rank 1 is gone")
    x = torch.randn(32, 20, generator=draw)
    loss = F.cross_entropy(wrapped(x), x[:, :5].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    if mode == "rate":
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 if rank == 0 else 0.9)
    optimizer.step()
    if mode == "death" and rank == 0 and step > 100:
        import time; time.sleep(0.05)
import os  # two ranks print at once: a line has to be one write
os.write(1, f"{rank} {loss.item()!r} {sum(p.double().sum().item() for p in model.parameters())}\\n".encode())
dist.destroy_process_group()
"""


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
FORKED = (Path(__file__).with_name("ranks.py"),)


def train(
    folder: Path,
    *arguments: str,
    watched: bool,
    options: tuple[str, ...] = (),
    script: str = TRAIN,
    launcher: tuple[str | Path, ...] = FORKED,
) -> subprocess.CompletedProcess:
    (folder / "train.py").write_text(script)
    module = ["-m", "surefoot", "run", *options, "train.py"] if watched else ["train.py"]
    start = processes.run if launcher is FORKED else subprocess.run
    command = [sys.executable, *launcher, *module, *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return start(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def only_run(folder: Path) -> Path:
    [run] = (folder / "surefoot-runs").iterdir()
    return run


def test_two_ranks_are_one_run(tmp_path):
    bare = train(tmp_path, "ddp", "150", watched=False)
    watched = train(tmp_path, "ddp", "150", watched=True)
    assert watched.returncode == 0, watched.stderr
    assert sorted(watched.stdout.split("\n")) == sorted(bare.stdout.split("\n"))  # to the last digit, on both ranks
    folder = only_run(tmp_path)
    assert watched.stderr.count("train.py · 150 steps") == 1  # told once, by rank 0
    run = open_run(folder)
    assert run.ranks == [0, 1]
    for rank in run.ranks:
        mine = open_run(folder, rank)
        assert mine.steps == 150
        assert mine.events("exit")[0].data["code"] == 0
        assert list(mine.frame("gradient_rms").columns) == ["0", "2", "4"]
        assert mine.events("replicas")[0].data["kind"] == "ddp"
    # gradients are read after they were averaged, losses are each rank's own
    a, b = (open_run(folder, rank).frame("weight_projection") for rank in (0, 1))
    common = a.index.intersection(b.index)
    assert len(common) >= 3 and common[0] == 0  # more on a machine that is not loaded
    assert a.loc[common].equals(b.loc[common])
    assert surefoot.diagnose(folder) == ()
    assert json.loads((folder / "diagnosis.json").read_text())["verdict"] == "healthy"


@pytest.mark.parametrize(
    ("mode", "severity", "words"),
    [("rate", "critical", "learning rates"), ("unwrapped", "warning", "their gradients are not averaged")],
)
def test_ranks_that_drift_apart(mode, severity, words, tmp_path):
    watched = train(tmp_path, mode, "150", watched=True, options=("--out", "run", "--quiet"))
    assert watched.returncode == 0, watched.stderr
    found = {f.id: f for f in surefoot.diagnose(tmp_path / "run")}
    assert found["rank-desync"].severity == severity
    assert words in found["rank-desync"].cause
    assert found["rank-desync"].first_step <= 3
    stored = json.loads((tmp_path / "run" / "diagnosis.json").read_text())
    assert "rank-desync" in {f["id"] for f in stored["findings"]}


def test_the_death_of_a_rank_leaves_the_others_record(tmp_path):
    watched = train(tmp_path, "death", "100000", watched=True, launcher=TORCHRUN)
    assert watched.returncode != 0
    run = only_run(tmp_path)  # both came to it by themselves
    assert "rank 1 is gone" in watched.stderr
    assert open_run(run, 1).steps == 100
    assert "rank 1 is gone" in open_run(run, 1).events("exit")[0].data["exception"]
    assert open_run(run, 0).steps >= 100
    surefoot.diagnose(run)
    shown = processes.run([sys.executable, "-m", "surefoot", "show", run])
    assert shown.returncode == 0, shown.stderr


class TestJoining:
    """Records made by hand, two ranks of two layers."""

    LAYERS = Family("ranks", (("weight_projection", "a"), ("weight_projection", "b")))
    RATE = Family("step", (("learning_rate", ""),))

    def record(self, folder, projections, kind="ddp", steps=(0, 1, 3, 7), rates=None):
        """``projections[rank]`` has a row a step."""
        for rank, rows in enumerate(projections):
            writer = RunWriter(folder, rank=rank)
            writer.event(1, "replicas", kind=kind)
            for step, row in zip(steps, rows, strict=True):
                writer.row(step, self.LAYERS, np.array(row, np.float32))
                if rates is not None:
                    writer.row(step, self.RATE, np.array([rates[rank]], np.float32))
            writer.close()
        return {f.id: f for f in surefoot.diagnose(folder)}.get("rank-desync")

    def test_equal_ranks(self, tmp_path):
        rows = [(1.0, 2.0)] * 4
        assert self.record(tmp_path, [rows, rows, rows]) is None

    def test_rounding_is_no_desync(self, tmp_path):
        rows = [(1.0, 2.0)] * 4
        assert self.record(tmp_path, [rows, [(1.0 + 1e-6, 2.0)] * 4]) is None

    def test_one_layer_of_one_rank(self, tmp_path):
        rows = [(1.0, 2.0)] * 4
        odd = [(1.0, 2.0), (1.0, 2.0), (1.0, 2.1), (1.0, 2.2)]
        found = self.record(tmp_path, [rows, rows, odd])
        assert (found.severity, found.where, found.first_step, found.detected_step) == ("critical", ("b",), 3, 7)
        assert "Rank 2" in found.cause
        assert max(e.value for e in found.evidence) == pytest.approx(0.2 / 2.2, rel=1e-3)

    def test_one_step_apart_is_not_enough(self, tmp_path):
        rows = [(1.0, 2.0)] * 4
        assert self.record(tmp_path, [rows, [*rows[:3], (1.0, 2.1)]]) is None

    @pytest.mark.parametrize(("kind", "expected"), [("group", "warning"), ("none", None)])
    def test_without_a_wrapper_what_they_began_with_counts(self, kind, expected, tmp_path):
        rows = [(1.0, 2.0)] * 4
        odd = [(1.0, 2.0), (1.1, 2.0), (1.2, 2.0), (1.3, 2.0)]
        found = self.record(tmp_path / "same", [rows, odd], kind)
        assert (found and found.severity) == expected
        other = [(5.0, -2.0), *odd[1:]]
        assert self.record(tmp_path / "other", [rows, other], kind) is None

    @pytest.mark.parametrize(("apart", "cure"), [(("b",), "gradients averaged"), (("a", "b"), "torch.nn.parallel")])
    def test_where_some_layers_agree_the_script_averages_itself(self, apart, cure, tmp_path):
        odd = [(1.0 + step * ("a" in apart), 2.0 + step * ("b" in apart)) for step in range(4)]
        found = self.record(tmp_path, [[(1.0, 2.0)] * 4, odd], "group")
        assert found.where == apart and found.remedies[0].name.startswith(cure)

    def test_learning_rates_that_differ_are_told(self, tmp_path):
        rows = [(1.0, 2.0)] * 4
        odd = [(1.0, 2.0), (1.1, 2.0), (1.2, 2.0), (1.3, 2.0)]
        found = self.record(tmp_path, [rows, odd], rates=(0.1, 0.05))
        assert "learning rates" in found.cause
        assert {e.value for e in found.evidence if e.signal == "learning_rate_spread"} == {0.5}

    def test_learning_rates_alone_tell_before_the_weights_do(self, tmp_path):
        rows = [(1.0, 2.0)] * 4
        found = self.record(tmp_path / "ddp", [rows, rows], rates=(0.1, 0.05))
        assert (found.severity, found.first_step, found.where) == ("critical", 1, ())
        assert self.record(tmp_path / "group", [rows, rows], "group", rates=(0.1, 0.05)) is None

    def test_equal_gradients_say_why_weights_differ(self, tmp_path):
        def judged(folder, kind, norms, first=(1.0, 2.0)):
            family = Family("gradients", (("gradient_norm", ""),))
            for rank in (0, 1):
                writer = RunWriter(tmp_path / folder, rank=rank)
                writer.event(1, "replicas", kind=kind)
                for step in (0, 1, 3, 7):
                    weights = (1.0, 2.0) if not rank else first if not step else (1.1, 2.0)
                    writer.row(step, family, np.array([norms[rank]], np.float32))
                    writer.row(step, self.LAYERS, np.array(weights, np.float32))
                writer.close()
            return {f.id: f for f in surefoot.diagnose(tmp_path / folder)}.get("rank-desync")

        assert judged("past", "ddp", (1.0, 0.7)).remedies[0].name == "gradients averaged over all ranks"
        assert judged("else", "ddp", (0.7, 0.7)).remedies[0].name == "rank 0's weights after each step"
        unequal = judged("begun", "group", (0.7, 0.7), first=(5.0, -2.0))
        assert unequal.severity == "warning" and unequal.remedies[0].name == "start from rank 0's weights"
        assert judged("own", "group", (1.0, 0.7), first=(5.0, -2.0)) is None

    def test_steps_that_only_one_rank_has_say_nothing(self, tmp_path):
        folder = tmp_path / "run"
        for rank, steps in ((0, (1, 3, 7)), (1, (2, 4, 8))):
            writer = RunWriter(folder, rank=rank)
            writer.event(1, "replicas", kind="ddp")
            for step in steps:
                writer.row(step, self.LAYERS, np.array([rank, rank], np.float32))
            writer.close()
        assert surefoot.diagnose(folder) == ()

    def test_a_rank_alone_is_judged_alone(self, tmp_path):
        rows, odd = [(1.0, 2.0)] * 4, [(1.1, 2.0)] * 4
        assert self.record(tmp_path, [rows, odd]) is not None
        assert surefoot.diagnose(open_run(tmp_path, 1)) == ()

    def test_what_only_another_rank_found_is_said_to_be_its(self, tmp_path):
        for rank in (0, 1):
            writer = RunWriter(tmp_path, rank=rank)
            family = Family("step", (("loss", ""), ("learning_rate", "")))
            writer.row(1, family, np.array([1.0, 0.1], np.float32))
            if rank == 1:
                writer.event(2, "nonfinite", kind="weight", where="a", operation="", value="nan")
                writer.row(2, family, np.array([np.nan, 0.1], np.float32))
            writer.close()
        found = next(f for f in surefoot.diagnose(tmp_path) if f.id == "non-finite")
        assert found.cause.startswith("On rank 1: ")

    def test_shards_are_joined_to_the_whole(self, tmp_path):
        from surefoot.findings.ranks import joined_rows

        family = Family("gradients", (("gradient_rms", "a"), ("gradient_norm", "")))
        for rank, norm in ((0, 3.0), (1, 4.0)):
            writer = RunWriter(tmp_path, rank=rank)
            writer.event(1, "replicas", kind="none", shards=2)
            writer.row(1, family, np.array([norm, norm], np.float32))
            if rank == 0:
                writer.row(2, family, np.array([norm, norm], np.float32))
            writer.close()
        (_, _, both), (_, _, alone) = joined_rows(open_run(tmp_path), [1])
        assert both.tolist() == pytest.approx([np.sqrt(12.5), 5.0])
        assert alone.tolist() == pytest.approx([3.0, 3.0 * np.sqrt(2)])


SHARDED = """
import sys, torch, torch.nn as nn, torch.nn.functional as F, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
torch.set_num_threads(1)
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
rank = dist.get_rank()
torch.manual_seed(0)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(20, 33), nn.Linear(33, 5)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(33, 32), nn.ReLU(), nn.Linear(32, 33)) for _ in range(2))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)

model = Net()
for block in model.blocks:
    fully_shard(block, mesh=mesh)
fully_shard(model, mesh=mesh)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
draw = torch.Generator().manual_seed(100 + rank)
for step in range(int(sys.argv[2])):
    x = torch.randn(32, 20, generator=draw)
    loss = F.cross_entropy(model(x), x[:, :5].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
import os  # two ranks print at once: a line has to be one write
weights = sum(p.to_local().double().sum().item() for p in model.parameters())
os.write(1, f"{rank} {loss.item()!r} {norm.full_tensor().item()!r} {weights}\\n".encode())
dist.destroy_process_group()
"""


def test_shards_are_read_where_they_are(tmp_path):
    from surefoot.findings.ranks import joined_rows

    bare = train(tmp_path, "", "16", watched=False, script=SHARDED)
    watched = train(
        tmp_path, "", "16", watched=True, options=("--out", "run", "--look-every", "1", "--quiet"), script=SHARDED
    )
    assert watched.returncode == 0, watched.stderr
    assert sorted(watched.stdout.split("\n")) == sorted(bare.stdout.split("\n"))
    layers = ["stem", "blocks.0.0", "blocks.0.2", "blocks.1.0", "blocks.1.2", "head"]
    for rank in (0, 1):
        run = open_run(tmp_path / "run", rank)
        assert run.steps == 16
        assert not run.events("note"), run.events("note")
        for signal in ("gradient_rms", "update_rms", "activation_rms"):
            frame = run.frame(signal)
            assert list(frame.columns) == layers
            assert frame.loc[16].notna().all()
        assert set(run.frame("missed_parameters")[""].dropna()) == {0.0}
    clipped_at = float(next(line for line in watched.stdout.split("\n") if line.startswith("0 ")).split()[2])
    rows = [r for r in joined_rows(open_run(tmp_path / "run"), [1]) if r[1].name == "gradients" and r[0] == 16]
    joined = {c: v for _, f, values in rows for c, v in zip(f.columns, values.tolist(), strict=True)}
    assert joined["gradient_norm", ""] == pytest.approx(clipped_at, rel=1e-4)
    assert surefoot.diagnose(tmp_path / "run") == ()


def test_a_rank_that_closes_while_rank_0_judges_is_judged_too(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    judged = []

    def slowly(folder):
        judged.append(len(list(folder.glob("run.rank1.sqlite"))))
        if len(judged) == 1:
            shutil.copy(folder / "run.sqlite", folder / "run.rank1.sqlite")
        return ()

    monkeypatch.setattr("surefoot.monitor.session.diagnose", slowly)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with surefoot.watch(model, optimizer, out=tmp_path / "run"):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).mean().backward()
            optimizer.step()
    assert judged[0] == 0 and judged[-1] == 1
