"""``surefoot inspect --curvature`` and ``--checkpoint``, as a user runs them; test_inspect_start.py has the rest."""

import json
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from surefoot import open_run
from surefoot.cli import app
from surefoot.monitor.inspect import build

MODEL = """
import torch
from dataclasses import dataclass
from torch import nn

@dataclass
class Size:
    width: int = 6

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, Size().width), nn.Tanh(), nn.Linear(Size().width, 3))

def build():
    model = net()
    return model, torch.randn(40, 4), torch.arange(40) % 3

def numbers():
    return net(), torch.randn(40, 4), torch.randn(40, 3)

def own_loss():
    return net(), torch.randn(40, 4), ["any"] * 40, lambda z, t: z.square().mean()

def alone():
    return net()

def words():
    return net(), torch.randn(40, 4), ["any"] * 40

def nothing():
    return None
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("function", ["build", "numbers", "own_loss"])
def test_the_curvature_of_what_a_file_builds(model, capsys, function):
    assert app(["inspect", "--curvature", f"model.py:{function}", "--out", "seen"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    run = open_run("seen")
    (event,) = run.events("hessian")
    assert event.data["rows"] == 40 and event.data["parameters"] == 51
    assert f"{event.data['largest']['value']:.4g}" in shown
    page = (model / "seen" / "report.html").read_text()
    assert '<section id="curvature">' in page and "Effective rank" in page
    assert json.loads(re.search(r'id="figures">(.*?)</script>', page)[1])
    subject = build(f"model.py:{function}")
    if function == "build":
        weights = list(subject.model.parameters())
        loss = F.cross_entropy(subject.model(subject.inputs), subject.targets)
        slopes = torch.autograd.grad(loss, weights, create_graph=True)
        flat = torch.cat([s.reshape(-1) for s in slopes])
        rows = [torch.cat([r.reshape(-1) for r in torch.autograd.grad(s, weights, retain_graph=True)]) for s in flat]
        exact = float(torch.linalg.eigvalsh(torch.stack(rows))[-1])
        assert event.data["largest"]["value"] == pytest.approx(exact, rel=1e-3)


def test_a_checkpoint_is_loaded(model):
    fresh = build("model.py")
    state = {name: torch.full_like(value, 0.1) for name, value in fresh.model.state_dict().items()}
    for held in (state, {"model": state, "step": 3}):
        torch.save(held, "last.pt")
        loaded = build("model.py", model / "last.pt").model.state_dict()
        assert all(torch.equal(loaded[name], state[name]) for name in state)


class Evil(nn.Module):
    pass


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--curvature", "missing.py:build"], "no Python file"),
        (["--curvature", "model.py:make"], "no function 'make'; it has net, build"),
        (["--curvature", "model.py:nothing"], "must give a model"),
        (["--curvature", "model.py:alone"], "needs inputs and targets"),
        (["--curvature", "model.py:words"], "no loss is known"),
        (["--curvature", "model.py:build", "--checkpoint", "no.pt"], "no file"),
        (["--curvature", "model.py:build", "--checkpoint", "evil.pt"], "not a file of tensors alone"),
        (["--curvature", "model.py:build", "--checkpoint", "other.pt"], "does not fit"),
    ],
)
def test_bad_input_is_one_line(model, capsys, arguments, told):
    torch.save(Evil(), "evil.pt")
    torch.save({"weight": torch.ones(2)}, "other.pt")
    assert app(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_record_is_not_overwritten(model, capsys):
    assert app(["inspect", "--curvature", "model.py", "--out", "seen"]) == 0
    assert app(["inspect", "--curvature", "model.py", "--out", "seen"]) == 2
    assert "holds a record already" in capsys.readouterr().err
