"""``surefoot run --apply``: each remedy cures a script that is ill, and nothing else; bad requests are one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import processes
import surefoot
from surefoot.apply.catalogue import ENTRIES, chosen, parse
from surefoot.cli import run as command
from surefoot.cli.earlier import first_remedy
from surefoot.monitor.options import RunOptions
from surefoot.report import terminal
from surefoot.runs import open_run

PATIENT = """\
import random
import sys

import torch
import torch.nn.functional as F
from torch import nn

kind = sys.argv[1]
torch.manual_seed(0)
random.seed(0)
torch.set_num_threads(1)
X, Y = torch.load("digits.pt")

depth = {"deep": 14, "explodes": 6, "cold": 8}.get(kind, 1)
act = nn.Tanh if kind == "deep" else nn.ReLU
layers = [nn.Linear(64, 64), act()]
for _ in range(depth):
    layers += [nn.Linear(64, 64), act()]
model = nn.Sequential(*layers, nn.Linear(64, 10))
scale, steps = 1.0, 150
if kind == "too-high":
    optimizer = torch.optim.SGD(model.parameters(), lr=50.0)
elif kind == "spikes":
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
elif kind == "cold":
    optimizer = torch.optim.Adam(model.parameters(), lr=0.012)
elif kind == "tiny":
    optimizer, scale = torch.optim.Adam(model.parameters(), lr=3e-3), 1e-10
elif kind == "explodes":
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=(8 / module.in_features) ** 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
elif kind == "deep":
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
else:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2 * steps)
for step in range(steps):
    rows = torch.randint(len(X), (64,))
    x, y = X[rows], Y[rows]
    if kind == "bad" and step == 60:
        x = x * float("nan")
    loss = scale * F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
with torch.no_grad():
    logits = model(X)
accuracy = (logits.argmax(1) == Y).float().mean().item()
weights = sum(p.detach().double().sum().item() for p in model.parameters())
rate = scheduler.get_last_lr()[0]
print(accuracy, logits.logsumexp(-1).square().mean().item(), weights, rate, random.random(), torch.rand(1).item())
"""


def treated(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "surefoot", "run", "--no-report", "--out", "run", *words]
    return processes.run(command, cwd=folder)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What a patient prints by itself."""
    folder = tmp_path_factory.mktemp("bare")
    admit(folder)

    @cache
    def printed(kind: str) -> str:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(io.StringIO()) as out,
            pytest.MonkeyPatch.context() as m,
        ):
            m.setattr(sys, "argv", ["patient.py", kind])
            exec(compile(PATIENT, "patient.py", "exec"), {"__name__": "patient"})
        return out.getvalue()

    return printed


def admit(folder: Path) -> None:
    """Put the patient and the data into a folder: the digits, standardised."""
    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    torch.save(((x - x.mean()) / x.std(), torch.tensor(data.target)), folder / "digits.pt")
    (folder / "patient.py").write_text(PATIENT)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    admit(tmp_path)
    return tmp_path


Bare = Callable[[str], str]


@pytest.mark.parametrize(
    ("kind", "remedies"),
    [
        ("too-high", {"lr-scale:factor=0.002": "took 150 steps with 0.002 times"}),
        ("spikes", {"safe-step": "shortened 150 of 150 steps"}),
        ("tiny", {"adam-eps": "took 150 steps with eps = 1e-15"}),
        ("explodes", {"agc": "units a step, over 150 steps"}),
        ("deep", {"critical-init": "drew 16 layers of Sequential anew with C_W = 1"}),
        ("bad", {"skip-bad-batch": "left out 1 of 150 steps: 61", "stablemax": "the place of softmax in 150 losses"}),
    ],
)
def test_a_patient_is_cured(ward: Path, bare: Bare, kind: str, remedies: dict[str, str]) -> None:
    done = treated(ward, *(word for remedy in remedies for word in ("--apply", remedy)), "patient.py", kind)
    assert done.returncode == 0, done.stderr
    numbers, ill = done.stdout.split(), bare(kind).split()
    assert float(numbers[0]) > 0.85 and not float(ill[0]) > 0.2
    assert numbers[3:] == ill[3:]  # the scheduler's rate, and both random generators
    diagnosis = json.loads((ward / "run" / "diagnosis.json").read_text())
    assert diagnosis["verdict"] == "healthy"
    for remedy, told in remedies.items():
        assert told in diagnosis["applied"][remedy.partition(":")[0]]
        assert told in done.stderr.replace("\n         ", " ")
    run = open_run(ward / "run")
    assert run.meta["apply"] == [str(parse(remedy)) for remedy in remedies]
    assert [e.data["id"] for e in run.events() if e.kind == "apply"] == list(diagnosis["applied"])


def test_a_cold_start_is_warmed(ward: Path, bare: Bare) -> None:
    done = treated(ward, "--apply", "warmup", "patient.py", "cold")
    assert float(done.stdout.split()[0]) > float(bare("cold").split()[0]) + 0.05
    assert "took the first 99 of 100 steps" in done.stderr.replace("\n         ", " ")


def test_losses_and_gradients(ward: Path, bare: Bare) -> None:
    done = treated(ward, "--apply", "z-loss:coef=0.01", "--apply", "orthogonal-grad", "patient.py", "healthy")
    numbers, plain = ([float(n) for n in text.split()] for text in (done.stdout, bare("healthy")))
    assert numbers[0] > 0.85 and numbers[1] < 0.2 * plain[1]  # (log Z)² is small
    applied = json.loads((ward / "run" / "diagnosis.json").read_text())["applied"]
    assert applied["z-loss"] == "added 0.01 · (log Z)² to 150 losses" and "over 150 steps" in applied["orthogonal-grad"]


def test_settings_that_do_nothing_leave_every_bit(ward: Path, bare: Bare) -> None:
    nothing = ("lr-scale:factor=1", "warmup:steps=1", "adam-eps:eps=1e-8", "agc:clip=1e9", "z-loss:coef=0",
               "skip-bad-batch:factor=1e9", "safe-step:r_max=1e9")  # fmt: skip
    words = [word for text in nothing for word in ("--apply", text)]
    assert treated(ward, *words, "patient.py", "healthy").stdout == bare("healthy")


# -- what is asked for -------------------------------------------------------------------------------------------------


def test_settings_are_read() -> None:
    choice = parse("orthogonal-grad:restore-norm=yes, scope=global")
    assert dict(choice.settings) == {"restore_norm": True, "scope": "global"}
    assert str(choice) == "orthogonal-grad:restore_norm=true,scope=global"
    assert str(parse("critical-init")) == "critical-init:activation=auto,gamma=0,input_rms=auto"
    assert parse("stablemax").settings == () and str(parse("stablemax")) == "stablemax"
    for entry in ENTRIES:
        assert parse(str(parse(entry.id))) == parse(entry.id)  # what is told can be given again
        assert entry.what and entry.when and all(key.meaning and key.wants for key in entry.keys)


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("cure", "there is no remedy 'cure'; there are lr-scale, lr-search, safe-step"),
        ("lr_scal", "did you mean 'lr-scale'?"),
        ("lr-scale:fator=2", "lr-scale has no setting 'fator'; it has factor=0.1 (times the script's own rate)"),
        ("lr-scale:", "lr-scale has no setting ''"),
        ("lr-scale:factor", "lr-scale: factor (times the script's own rate) wants a positive number, not 'factor'"),
        ("lr-scale:factor=0", "wants a positive number, not '0'"),
        ("lr-scale:factor=inf", "wants a positive number, not 'inf'"),
        ("lr-scale:factor=1,factor=2", "factor is given twice"),
        ("warmup:steps=2.5", "wants a number of steps, 1 or more, not '2.5'"),
        ("orthogonal-grad:restore_norm=maybe", "wants true or false"),
        ("orthogonal-grad:scope=all", "wants tensor or global"),
        ("critical-init:activation=swoosh", "wants one of auto, relu"),
        ("critical-init:gamma=1", "wants a number in [0, 1)"),
        ("stablemax:x=1", "stablemax has no setting 'x'; it has none"),
    ],
)
def test_a_bad_request_is_one_line(ward: Path, text: str, say: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        command.run(["--apply", text, str(ward / "patient.py")])
    assert leaving.value.code == 2
    err = capsys.readouterr().err
    assert say in err and err.startswith("surefoot run: --apply: ") and err.count("\n") == 1


def test_what_excludes_each_other() -> None:
    with pytest.raises(ValueError, match="agc is given twice"):
        chosen(["agc", "agc:clip=0.1"])
    with pytest.raises(ValueError, match="exclude each other"):
        chosen(["z-loss", "stablemax"])


def test_the_command_line(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ward)
    options, _ = command._parse(["--apply", "agc", "--apply", "warmup:steps=7", "patient.py", "--apply", "theirs"])
    assert options == RunOptions(
        "patient.py", ("--apply", "theirs"), home=os.getcwd(), apply=(parse("agc"), parse("warmup:steps=7"))
    )


def earlier(folder: Path, *findings: dict) -> str:
    folder.mkdir()
    (folder / "diagnosis.json").write_text(json.dumps({"findings": list(findings)}))
    return str(folder)


def finding(severity: str, *applies: str | None) -> dict:
    return {"id": "x", "severity": severity, "remedies": [{"apply": apply} for apply in applies]}


def test_auto_takes_the_remedy_of_the_first_finding(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ward)
    run = earlier(ward / "old", finding("critical", None, "lr-scale:factor=0.02", "warmup"), finding("warning", "agc"))
    options, _ = command._parse(["--apply", "auto", "--from", run, "--apply", "agc", "patient.py"])
    assert options.apply == (parse("lr-scale:factor=0.02"), parse("agc"))


def test_auto_where_there_is_nothing_to_take(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pasted = earlier(ward / "pasted", finding("warning", None), finding("warning", "agc"))
    healthy = earlier(ward / "healthy", finding("info", "agc"))
    for words, say in (
        (["--apply", "auto"], "--apply auto and --from RUN go together"),
        (["--from", pasted], "--apply auto and --from RUN go together"),
        (["--apply", "auto", "--from", pasted], "is cured by a change of the script alone"),
        (["--apply", "auto", "--from", healthy], "no finding above info: there is nothing to cure"),
        (["--apply", "auto", "--from", str(ward / "no")], "holds no run.sqlite"),
    ):
        with pytest.raises(SystemExit) as leaving:
            command.run([*words, str(ward / "patient.py")])
        err = capsys.readouterr().err
        assert leaving.value.code == 2 and say in err and err.count("\n") == 1


def test_help_names_every_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.run(["--help"])
    text = capsys.readouterr().out
    assert "--apply lr-scale:factor=0.1" in text
    assert not [entry.id for entry in ENTRIES if entry.id not in text]


# -- in Python, and a run that was cut short ---------------------------------------------------------------------------


def test_watch_applies(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(ValueError, match="there is no remedy 'cure'"):
        surefoot.watch(model, optimizer, apply="cure")
    with surefoot.watch(model, optimizer, out="r", apply=["lr-scale:factor=0.5", "critical-init"]) as run:
        with pytest.raises(ValueError, match="in place already"):
            run._session.apply(chosen(["agc"]))
        weight = model.weight.detach().clone()
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
    assert not torch.equal(weight, model.weight)
    terminal.render(open_run("r"))
    out = capsys.readouterr().out
    assert "applied  lr-scale: took 3 steps with 0.5 times" in out and "drew 1 layer of Linear anew" in out
    page = (empty_folder / "r" / "report.html").read_text()
    assert "took 3 steps with 0.5 times" in page and "--apply lr-scale:factor=0.5" in page


def test_auto_judges_a_run_that_was_killed(ward: Path) -> None:
    done = treated(ward, "patient.py", "too-high")
    assert done.returncode == 0
    (ward / "run" / "diagnosis.json").unlink()
    assert first_remedy(str(ward / "run")).startswith("best-of:of=lr-search:factor=")
