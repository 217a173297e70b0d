"""``surefoot inspect`` as a user runs it: a watched run of no steps, of a function's model and of a whole script."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as module_hooks

import processes
import starts
from surefoot import diagnose, open_run
from surefoot.analysis.propagation import DenseLayer, chain_report
from surefoot.cli import app
from surefoot.monitor import live, look_once
from surefoot.monitor.inspect import Subject
from surefoot.monitor.options import RunOptions
from surefoot.monitor.session import Session
from surefoot.monitor.stop import Inspected, end_before_first_step
from surefoot.observe.first_forwards import FirstForwards
from surefoot.observe.start import StartProbe

STARTS = Path(starts.__file__)


def inspected(name, folder, capsys):
    """Terminal text and run of one of the models of ``starts.py``."""
    torch.manual_seed(0)
    assert app(["inspect", f"{STARTS}:{name}", "--out", str(folder)]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    return shown.out, open_run(folder)


@pytest.mark.parametrize("build", starts.HEALTHY, ids=lambda f: f.__name__)
def test_what_pytorch_draws_is_left_alone(build, tmp_path, capsys):
    shown, run = inspected(build.__name__, tmp_path / "run", capsys)
    assert [f.id for f in run.findings if f.severity != "info"] == []
    assert shown.startswith("healthy") and "inspected before the first step" in shown
    assert max(len(line) for line in shown.splitlines() if "report.html" not in line and "starts.py" not in line) <= 80
    assert run.diagnosis["steps"] == 0 and run.diagnosis["exit"] == {"code": 0, "exception": None}
    assert {step for step, _, _ in run.rows()} == {0} and run.meta["inspected"] is True
    assert {"activations", "gradients", "weights"} <= {family.name for family in run.families}


@pytest.mark.parametrize("build", starts.ILL, ids=lambda f: f.__name__)
def test_a_bad_start_is_found_and_cured(build, tmp_path, capsys):
    _, run = inspected(build.__name__, tmp_path / "run", capsys)
    found = {f.id: f for f in run.findings if f.severity != "info"}
    assert starts.ILL[build] <= set(found)
    assert all(f.first_step == f.last_step == 0 and f.remedies for f in found.values())
    assert diagnose(run) == run.findings


def test_the_flow_is_that_of_theory(tmp_path, capsys):
    shown, run = inspected("critical_gelu", tmp_path / "run", capsys)
    (start,) = run.events("start")
    chain = start.data["chain"]
    assert chain["activation"] == "gelu" and len(chain["names"]) == 13
    for which in ("forward", "backward"):
        measured, theory = np.array(chain[which]), np.array(chain[f"{which}_theory"])
        assert np.abs(np.log(measured / theory)).max() < 0.2
    assert "criticality  critical" in shown and "synthetic standard-normal" in shown and "random numbers" in shown
    assert "loss" not in run.signals() or np.isnan(run.frame("loss").to_numpy()).all()


def test_the_page_is_that_of_an_inspection(tmp_path, capsys):
    where = tmp_path / "run"
    assert app(["inspect", "--curvature", f"{STARTS}:tiny", "--out", str(where)]) == 0
    page = (where / "report.html").read_text()
    assert '<section id="start">' in page and '<section id="curvature">' in page
    assert "surefoot inspect --curvature" in page and "inspected before the first step" in page
    for wrong in ("No step", "no last words", "no steps", "surefoot run "):
        assert wrong not in page.split("<script")[0]
    capsys.readouterr()
    assert app(["show", str(where)]) == 0
    assert "inspected before the first step" in capsys.readouterr().out


SCRIPT = """
import sys
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(*[m for _ in range(14) for m in (torch.nn.Linear(16, 16), torch.nn.Sigmoid())])
before = [p.clone() for p in net.parameters()]
optimizer = torch.optim.Adam(net.parameters(), lr=float(sys.argv[1]))
try:
    for step in range(3):
        try:
            optimizer.zero_grad()
            net(torch.randn(8, 16)).square().mean().backward()
            optimizer.step()
            print("stepped")
        except BaseException as error:
            print(type(error).__name__, error.code)
            if step == 2:
                raise
finally:
    print(all(map(torch.equal, before, net.parameters())))
"""


def run_script(folder, text, *arguments):
    (folder / "train.py").write_text(text)
    command = [sys.executable, "-m", "surefoot", "inspect", "--at-init", "--out", "seen", "train.py", *arguments]
    return processes.run(command, cwd=folder, timeout=100)


def test_a_script_ends_before_its_first_step(tmp_path):
    done = run_script(tmp_path, SCRIPT, "0.1")
    assert done.returncode == 0 and done.stdout == "Inspected 0\n" * 3 + "True\n"
    assert "failing" in done.stderr and "vanishing-gradient" in done.stderr and "Traceback" not in done.stderr
    run = open_run(tmp_path / "seen")
    assert run.diagnosis["steps"] == 0 and run.meta["options"] == ["--at-init"] and run.meta["argv"] == ["0.1"]
    (start,) = run.events("start")
    assert len(start.data["chain"]["names"]) == 14 and start.data["gradients"]["tensors"] == 14
    measured, theory = (np.array(start.data["chain"][key]) for key in ("backward", "backward_theory"))
    assert np.abs(np.log(measured / theory)).max() < 1.5  # of a fall by 10¹¹
    page = (tmp_path / "seen" / "report.html").read_text()
    assert "surefoot inspect --at-init train.py 0.1" in page and "criticality" in page
    assert json.loads((tmp_path / "seen" / "diagnosis.json").read_text())["verdict"] == "failing"


def test_a_script_that_never_steps(tmp_path, monkeypatch, capsys):
    handles = []
    monkeypatch.setattr(live, "end_before_first_step", lambda *given: handles.append(end_before_first_step(*given)))
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    live.start(RunOptions("train.py", out=str(tmp_path), at_init=True))
    try:
        live.finish(0, None)
    finally:
        handles[0].remove()
        monkeypatch.setattr(live, "_options", None)
    assert "there was nothing to inspect" in capsys.readouterr().err
    assert open_run(tmp_path).diagnosis["steps"] == 0


def test_the_first_training_forward_is_read_and_no_hook_left():
    torch.manual_seed(0)
    big, small = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)), nn.Linear(2, 1)
    before = big(torch.ones(3, 8))
    forwards = FirstForwards(lambda name, function, *args: function(*args))
    try:
        compiled = torch.compile(big, backend=lambda *graph: pytest.fail("it was compiled"))
        with torch.no_grad():
            compiled(torch.zeros(3, 8))  # no training forward
        assert torch.equal(before, compiled(torch.ones(3, 8)))
        small(compiled(torch.ones(5, 8))).sum().backward()
        compiled(torch.zeros(5, 8))
    finally:
        found = forwards.end()
    assert found is not None and found[0] is big and forwards.end() is None
    assert [layer.name for layer in found[1].layers] == ["0", "2"]
    assert found[1].layers[1].forward == pytest.approx(before.detach().square().mean().sqrt().item())
    assert not any(m._forward_hooks for m in big.modules()) and not module_hooks._global_forward_pre_hooks


def test_a_closure_is_run_once_and_no_step_taken(tmp_path):
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(8, 4)
    before, calls = [p.detach().clone() for p in net.parameters()], []
    optimizer = torch.optim.LBFGS(net.parameters())

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        return loss

    session = Session(tmp_path, script="x", inspected=("--at-init",))
    handle = end_before_first_step(session.observer)
    try:
        with pytest.raises(Inspected):
            optimizer.step(closure)
    finally:
        handle.remove()
        session.close(report=False)
    assert len(calls) == 1 and all(map(torch.equal, before, net.parameters()))
    gradient = open_run(tmp_path).frame("gradient_rms")
    assert list(gradient.index) == [0] and gradient.notna().all().all()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("two_inputs", "forward takes x, adjacency; return (model, inputs)"),
        ("no_layer", "no layer of Identity tells what its inputs are"),
        ("wrong_shape", "takes no inputs of shape"),
        ("frozen", "no parameter of the model requires a gradient"),
        ("wrong_inputs", "the model can't be run on its inputs"),
        ("wrong_targets", "the loss can't be computed"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(name, told, tmp_path, capsys):
    assert app(["inspect", f"{STARTS}:{name}", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_dear_batch_is_cut_and_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr(look_once, "_CHEAP", 0)
    monkeypatch.setattr(look_once, "SECONDS", 0.0)
    look_once.look(Subject(*starts.relu_mlp()), tmp_path, "x", []).close(report=False)
    (start,) = open_run(tmp_path).events("start")
    assert start.data["rows"].startswith("2 of 64 rows")


def test_a_chain_in_closed_form():
    layers = [
        DenseLayer(str(i), 0.5, 0.0, 32, 0.5**i, 0.5 ** (3 - i), source=str(i - 1) if i else None, activation="relu")
        for i in range(4)
    ]
    chain = chain_report(layers)
    assert chain is not None and chain.chi_perp == pytest.approx(0.25) and chain.chi_par == pytest.approx(0.25)
    assert chain.forward_theory == pytest.approx(chain.forward) and chain.backward_theory == pytest.approx(
        chain.backward
    )
    assert pytest.approx(2) == chain.point.C_W and chain.ratio == pytest.approx(3 / 32)
    assert chain.log_gradient_std == pytest.approx(math.sqrt(5 * 3 / 32))
    assert chain_report(layers[:2]) is None and chain_report([]) is None


def test_the_depth_of_a_residual_stack_is_told(tmp_path, capsys):
    shown, run = inspected("resnet", tmp_path / "run", capsys)
    (start,) = run.events("start")
    sizes = np.array(list(start.data["residual"].values()))
    assert start.data["path_depth"] == pytest.approx((sizes / (1 + sizes)).sum()) and len(sizes) > 2
    assert 0 < start.data["longer_paths"] < 1
    assert "effective depth" in shown and "paths through two or more" in " ".join(shown.split())


def test_blocks_that_add_to_their_input():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return x + self.inner(x).tanh()

    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Residual(), Residual()), nn.Sequential(nn.Linear(4, 4)))
    with StartProbe(model) as probe:
        model(torch.randn(3, 4)).sum().backward()
    assert set(probe.residual) == {"1.0", "1.1"}
    assert [(block["name"], block["after"]) for block in probe.blocks] == [("1.0", 2), ("1.1", 3)]
    assert all(block["forward"] > 0 and block["backward"] > 0 for block in probe.blocks)
    assert not any(m._forward_hooks for m in model.modules())
    assert [layer.name for layer in probe.layers] == ["0", "1.0.inner", "1.1.inner", "2.0"]
    assert all(math.isfinite(layer.backward) for layer in probe.layers)
