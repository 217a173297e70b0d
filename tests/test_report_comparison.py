"""``surefoot compare``: identical runs, runs that part, findings of one of them, the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import processes
from sample_run import SAMPLES, Sample
from surefoot.cli import app
from surefoot.report import comparison_page
from surefoot.report.comparison import Comparison, compare
from surefoot.report.record import Record
from surefoot.runs import Family, open_run

SCRIPT = """
import sys, torch, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(256, 20)
y = x[:, :5].argmax(1)
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(60):
    i = torch.randint(256, (32,))
    if step == 20 and "--odd" in sys.argv:
        i = i.flip(0)[:16]
    loss = F.cross_entropy(model(x[i]), y[i])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
STEP = Family("step", (("loss", ""), ("learning_rate", ""), ("step_time", "")))
GRADIENTS = Family("gradients", (("gradient_rms", "a"), ("gradient_rms", "b"), ("gradient_norm", "")))


def of(folder: Path, losses: np.ndarray, *, every: int = 10, scale: float = 1.0, argv: tuple[str, ...] = ()) -> Record:
    sample = Sample()
    sample.meta = {**sample.meta, "argv": list(argv)}
    for step, loss in enumerate(losses, 1):
        sample.add(step, STEP, loss, 0.1, 0.01)
        if step % every == 0:
            sample.add(step, GRADIENTS, scale * step, 3 * scale * step, 5.0)
    return Record(open_run(sample.write(folder)))


def curve(steps: int = 400, seed: int = 0, floor: float = 0.5) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(steps)
    return floor + 2 * np.exp(-np.arange(steps) / 60) + 0.02 * noise


def signal(found: Comparison, name: str):
    return next(side for side in found.signals if side.name == name)


def test_a_run_and_itself_are_identical(tmp_path: Path) -> None:
    found = compare(of(tmp_path / "a", curve()), of(tmp_path / "b", curve()))
    assert found.identical and found.better is None and found.settings == ()
    assert all(side.first_difference is None and side.ratio == 1 for side in found.signals)


def test_looks_at_other_steps_change_nothing(tmp_path: Path) -> None:
    found = compare(of(tmp_path / "a", curve(), every=10), of(tmp_path / "b", curve(), every=4))
    assert found.identical
    assert signal(found, "gradient_rms").common == 20


def test_where_runs_part(tmp_path: Path) -> None:
    other = curve()
    other[99:] += np.float32(0.1)
    found = compare(of(tmp_path / "a", curve()), of(tmp_path / "b", other, scale=2, argv=("--lr", "0.3", "-v")))
    assert not found.identical and found.first_difference() == 100
    gradients = signal(found, "gradient_rms")
    assert gradients.first_difference == 10 and gradients.ratio == 2
    assert gradients.medians == (410.0, 820.0) and gradients.finals == (800.0, 1600.0)  # middle of the two places
    assert signal(found, "gradient_norm").first_difference is None
    assert {name: (a, b) for name, a, b in found.settings} == {"--lr": ("–", "0.3"), "-v": ("–", "given")}


@pytest.mark.parametrize(("floor", "better"), [(0.3, "b"), (0.8, "a"), (0.5, None)])
def test_better_by_loss_beyond_its_noise(tmp_path: Path, floor: float, better: str | None) -> None:
    found = compare(of(tmp_path / "a", curve()), of(tmp_path / "b", curve(300, seed=1, floor=floor)))
    assert found.better == better and found.judged_at == 300


def test_a_lost_run_is_worse(tmp_path: Path) -> None:
    lost = curve()
    lost[300:] = np.nan
    lost[200:300] = np.inf
    assert compare(of(tmp_path / "a", lost), of(tmp_path / "b", curve())).better == "b"


def test_findings_and_signals_of_one(tmp_path: Path) -> None:
    healthy = Record(open_run(SAMPLES["healthy"]().write(tmp_path / "a")))
    failing = Record(open_run(SAMPLES["failing"]().write(tmp_path / "b")))
    found = compare(healthy, failing)
    assert found.findings and all(a is None and b for _, a, b in found.findings if b == "critical")
    ids = {finding.id for finding in failing.findings}
    assert ids <= {id for id, _, _ in found.findings}
    json.dumps(found.to_json(), allow_nan=False)


def test_runs_with_nothing_in_common(tmp_path: Path) -> None:
    empty = Record(open_run(Sample().write(tmp_path / "a")))
    found = compare(empty, of(tmp_path / "b", curve()))
    assert not found.identical and found.better is None and found.signals == () and "loss" in found.only_b
    assert "<html" in comparison_page.page(found)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "train.py").write_text(SCRIPT)
    for name, words in {"a": [], "b": [], "c": ["--odd"]}.items():
        line = [sys.executable, "-m", "surefoot", "run", "--quiet", "--out", name, "train.py", *words]
        processes.run(line, cwd=folder, check=True, timeout=120)
    return folder


@pytest.fixture
def runs(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(recorded)
    return recorded


def test_two_records_of_a_seeded_script(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert app(["compare", "a", "b"]) == 0
    out = capsys.readouterr().out
    assert "identical" in out and max(map(len, out.splitlines())) <= 80
    assert app(["compare", "a", "c", "--html", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "the losses differ from step" in out and "page      page.html" in out and "--odd" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "they part" in Path("page.html").read_text(encoding="utf-8")
    assert app(["compare", "a", "c", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["identical"] and told["first_difference"]["loss"] >= 21
    assert told["settings"] == [{"name": "--odd", "a": "–", "b": "given"}]


def test_refusals(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, say in {
        ("a",): "Missing argument 'B'",
        ("a", "nowhere"): "'nowhere'",
        ("a", "b", "--html", "no/page.html"): "--html",
    }.items():
        assert app(["compare", *words]) == 2
        err = capsys.readouterr().err
        assert say in err and err.count("\n") == 1
    assert app(["compare", "--help"]) == 0
    assert "  surefoot compare " in capsys.readouterr().out
