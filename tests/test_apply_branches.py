"""Cures that ask the script: branches leave no trace, and find what lowers its loss."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curing import curing
from surefoot.apply.branch import Branch, Trunk, branch, gather, refusal
from surefoot.apply.trial import ranked, scores

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no branch here: {refusal()}")


def bowl(lr: float, steps: int = 40, curvature: float = 1.0) -> tuple[list[float], nn.Module]:
    """Gradient descent on ½ · curvature · ‖w‖²."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = 0.5 * curvature * model(torch.eye(4)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def told_by(one: Branch) -> list[float]:
    gather([one])
    return one.told


def test_a_branch_tells_numbers_and_touches_nothing(tmp_path: Path) -> None:
    there = tmp_path / "log"
    there.write_text("abc")
    with there.open("a") as writing, there.open() as reading:
        assert reading.read(1) == "a"
        made = branch(20.0)
        if isinstance(made, Trunk):
            made.tell(1.5)
            writing.write("more")
            writing.flush()
            os.write(1, b"a branch prints\n")
            made.tell(float(len(reading.read())))
            torch.save({}, tmp_path / "weights")
            made.tell(2.5)
            (tmp_path / "new").write_text("x")  # its end
            made.tell(3.5)
            made.end()
        assert told_by(made)[::2] == [1.5, 2.5] and len(made.told) == 3
    assert there.read_text() == "abc" and sorted(p.name for p in tmp_path.iterdir()) == ["log"]
    with pytest.raises(ChildProcessError):
        os.waitpid(made.pid, os.WNOHANG)


def test_a_branch_that_hangs_is_ended() -> None:
    made = branch(0.2)
    if isinstance(made, Trunk):
        made.tell(1.0)
        while True:
            pass
    assert told_by(made) == [1.0]


def test_scores_compare_as_many_steps_and_ask_for_a_loss_that_falls() -> None:
    falling, higher, broken = [4.0, 3.0, 2.0, 1.0], [4.0, 3.5, 3.0, 2.0, 0.0], [4.0, float("inf")]
    assert scores([falling, higher, broken]) == [1.0, 2.0, float("inf")]
    assert ranked([falling, falling, higher]) == [0, 1, 2] and ranked([higher, falling]) == [1, 0]
    lost, little = [1e9, 2e3, 1500.0, 1000.0], [2.0, 1.5, 0.5, 0.2]
    assert ranked([lost, little]) == [1, 0]  # a thousand is no gain where another start begins at two
    assert scores([[1.0, 1.0, 1.0, 2.0]]) is None and scores([[1.0], [1.0]]) is None


@pytest.mark.parametrize(("lr", "given"), [(300.0, "lr-search:factor=0.1"), (1e-4, "lr-search:factor=5")])
def test_a_rate_is_found_either_way(lr: float, given: str) -> None:
    with curing(given) as told:
        losses, _ = bowl(lr)
    assert losses[-1] < 1e-3 * losses[0]
    factor = told.interposer.cures[0].factor  # type: ignore[attr-defined]
    assert 0.1 < factor * lr < 2 and "found by branches" in told.summaries["lr-search"]


def test_a_search_leaves_all_but_the_rate() -> None:
    with curing("lr-search:factor=0.5") as told:
        losses, searched = bowl(30.0)
    factor = told.interposer.cures[0].factor  # type: ignore[attr-defined]
    with curing(f"lr-scale:factor={factor!r}"):
        again, scaled = bowl(30.0)
    assert losses == again and torch.equal(searched.weight, scaled.weight)


def test_where_nothing_lowers_the_loss_the_given_factor_stands(capfd: pytest.CaptureFixture[str]) -> None:
    with curing("lr-search:factor=0.5") as told:
        bowl(0.0, steps=8)
    assert told.interposer.cures[0].factor == 0.5 and any("no branch" in note for note in told.notes)  # type: ignore[attr-defined]


def deep(steps: int = 40) -> float:
    """A classifier of 12 layers whose weights are a tenth of what passes a signal on."""
    torch.manual_seed(0)
    layers = [m for _ in range(11) for m in (nn.Linear(16, 16), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(16, 2))
    for m in model:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=0.03)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x = torch.randn(64, 16)
    y = (x[:, 0] > 0).long()
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_the_best_of_several_remedies_is_taken() -> None:
    assert deep() > 0.6
    with curing("best-of:of=zero-bias/critical-init/lr-scale:factor=0.5") as told:
        assert deep() < 0.3
    assert told.summaries["best-of"].startswith("took critical-init") and "critical-init" in told.summaries


@pytest.mark.parametrize("text", ["best-of:of=warmup", "best-of:of=warmup/best-of:of=agc/clip", "best-of:of=x/y"])
def test_best_of_wants_remedies_that_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="best-of"), curing(text):
        pass
