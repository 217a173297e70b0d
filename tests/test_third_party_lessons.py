"""What training scripts that nobody here wrote do, in scripts of our own: each was once a crash or a blind spot."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import processes
from surefoot.observe.culprit import find_culprit
from surefoot.observe.discover import Models
from surefoot.observe.graph import read_graph
from surefoot.observe.nodes import has_memory, saved
from surefoot.runs import open_run
from watching import watching


class Product(nn.Linear):
    """A layer that multiplies by hand."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(torch.mm(x, self.weight.T) + self.bias)


def test_activations_of_layers_whose_forward_is_called_directly() -> None:
    """No hook sees ``layer.forward(x)``; the graph does, at every look."""
    torch.manual_seed(0)
    first, second, head = Product(6, 8), Product(8, 8), nn.Linear(8, 3)
    layers = (first, second, head)
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()])
    with watching(every=1) as seen:
        for _ in range(5):
            x, y = torch.randn(16, 6), torch.randint(3, (16,))
            optimizer.zero_grad()
            F.cross_entropy(head.forward(second.forward(first.forward(x))), y).backward()
            optimizer.step()
    wheres = {where for _, family, _ in seen.rows for name, where in family.columns if name == "activation_rms"}
    read = {where: sorted(seen.signal("activation_rms", where)) for where in wheres}
    assert sorted(steps for steps in read.values() if steps) == [[1, 2, 3, 4, 5]] * 2  # the head has no activation


def test_weights_whose_memory_was_freed_are_not_read() -> None:
    """FSDP frees gathered weights after a layer's forward: to read one from the graph would end the process."""
    gathered = torch.randn(4, 4).requires_grad_()
    bad = torch.full((2, 4), torch.nan)
    loss = (bad @ gathered).sum()
    assert has_memory(gathered)
    gathered.untyped_storage().resize_(0)
    assert not has_memory(gathered)
    assert has_memory(torch.empty(0))
    assert has_memory(torch.eye(3).to_sparse())
    view = read_graph([loss])
    product = next(node for node in view.nodes if node.name() == "MmBackward0")
    assert saved(product, "mat2") is None
    culprit = find_culprit(view, Models(), "nan", read_saved=True)
    assert (culprit.kind, culprit.value) == ("input", "nan")


class GraphConvolution(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return torch.sparse.mm(adjacency, torch.mm(x, self.kernel))


class GraphNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(6, 8), GraphConvolution(8, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return F.log_softmax(self.second(F.relu(self.first(x, adjacency)), adjacency), dim=1)


def test_sparse_inputs_turn_nothing_off() -> None:
    """A graph network is given sparse features and a sparse adjacency."""
    torch.manual_seed(0)
    model = GraphNetwork()
    x = torch.randn(10, 6).relu().to_sparse()
    adjacency, y = torch.eye(10).to_sparse(), torch.randint(3, (10,))
    optimizer = torch.optim.Adam(model.parameters())
    with watching(every=1) as seen:
        for _ in range(5):
            optimizer.zero_grad()
            F.nll_loss(model(x, adjacency), y).backward()
            optimizer.step()
    assert not [note for note in seen.of("note") if "sparse" in note["text"]]
    assert sorted(seen.signal("loss")) == [1, 2, 3, 4, 5]


BY_HAND = """
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5))
for _ in range(20):
    x, y = torch.randn(64, 20), torch.randint(5, (64,))
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    for p in model.parameters():
        p.data.add_(p.grad, alpha=-0.1)
print([p.sum().item() for p in model.parameters()], torch.rand(1))
"""


def test_updates_by_hand_are_steps(tmp_path: Path) -> None:
    """Tutorials update ``p.data`` themselves: no optimiser tells of a step, and no version changes."""
    script = tmp_path / "by_hand.py"
    script.write_text(BY_HAND)

    def python(*arguments: str) -> str:
        return processes.run([sys.executable, *arguments], cwd=tmp_path, check=True).stdout

    bare = python(str(script))
    for options in ((), ("--look-every", "1")):
        out = str(tmp_path / f"run{len(options)}")
        assert python("-m", "surefoot", "run", "--quiet", "--out", out, *options, str(script)) == bare
        run = open_run(out)
        assert run.steps == 20 and len(run.frame("loss").dropna()) == 20
        assert run.frame("gradient_rms")["2"].notna().any() and not run.events("note")
        assert run.frame("predicted_decrease").stack().gt(0).all()


ENDED = """
import atexit, random, sys

random.seed(0)
atexit.register(lambda: print(random.random()))  # before surefoot's own, so that it comes after
from surefoot.__main__ import main

sys.argv = ["surefoot", "run", "--out", "run", "script.py"]
main()
"""
SCRIPT = """
import torch

model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(5):
    optimizer.zero_grad()
    model(torch.randn(4, 3)).square().mean().backward()
    optimizer.step()
"""


def test_the_report_draws_no_random_number_of_the_scripts(tmp_path: Path) -> None:
    """Seeded scripts of others stood elsewhere in Python's generator once the diagnosis was printed."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, cwd=tmp_path)
    assert "script.py" in done.stderr and (tmp_path / "run" / "report.html").exists()
    assert float(done.stdout) == random.Random(0).random()
