"""Cures that ask the script: branches leave no trace, and find what lowers its loss."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curing import curing
from surefoot.analysis.printed_numbers import direction
from surefoot.apply.branch import Branch, Trunk, at_once, branch, gather, refusal, spent
from surefoot.apply.catalogue import together
from surefoot.apply.printed import Printed
from surefoot.apply.trial import Course, Trial, ranked, scores

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
    assert told_by(made) == [1.0] and made.cut and 0.1 < made.used < 2


def test_a_branch_has_its_time_by_what_it_computes_and_not_by_the_clock() -> None:
    waits = branch(0.5)
    if isinstance(waits, Trunk):
        time.sleep(0.8)  # as where others have the core
        waits.tell(1.0)
        waits.end()
    assert told_by(waits) == [1.0] and not waits.cut
    forever = branch(0.1)
    if isinstance(forever, Trunk):
        while True:
            time.sleep(1.0)
    assert told_by(forever) == [] and forever.cut
    assert spent([waits, forever]) == pytest.approx((waits.used + forever.used) / min(2, at_once()))


def test_scores_compare_as_many_steps_and_ask_for_a_loss_that_falls() -> None:
    falling, higher = Course((4.0, 3.0, 2.0, 1.0), cut=True), Course((4.0, 3.5, 3.0, 2.0, 0.0))
    assert scores([falling, higher, Course((4.0, math.inf))]) == [1.0, 2.0, math.inf]
    assert ranked([falling, falling, higher]) == [0, 1, 2] and ranked([higher, falling]) == [1, 0]
    lost, little = Course((1e9, 2e3, 1500.0, 1000.0)), Course((2.0, 1.5, 0.5, 0.2))
    level, broken = Course((1.0, 1.0, 1.0, 2.0), closed=True), Course((1.0,), closed=True)
    assert ranked([broken, level, level]) == [1, 2, 0]  # no loss fell, but with these the script comes to its end
    assert ranked([level, level]) is None
    assert ranked([lost, little]) == [1, 0]  # a thousand is no gain where another start begins at two
    assert scores([Course((1.0, 1.0, 1.0, 2.0))]) is None and scores([Course((1.0,)), Course((1.0,))]) is None


def test_a_branch_that_was_cut_is_compared_over_the_steps_it_took() -> None:
    slow, whole = Course((4.0, 2.0, 1.5, 1.0), cut=True), Course((4.0, 3.0, 2.0, 2.0, 0.0, 0.0))
    assert scores([slow, whole]) == [1.0, 2.0]
    assert scores([Course(slow.losses), whole]) == [math.inf, 0.0]  # it broke off
    assert scores([Course(slow.losses, closed=True), whole]) == [1.0, 0.0]  # the script has its own way to end
    assert scores([Course((4.0,), cut=True), whole]) == [math.inf, 0.0]  # too slow to be waited for


def test_a_branch_in_which_nothing_has_changed_so_far_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remedy of what comes late is as good as none until then: to be cut there tells nothing of it."""
    alone = Course((4.0, 3.0, 2.0, 2.0), cut=True)
    better, best = Course((4.0, 2.5, 1.5, 1.0), cut=True), Course((4.0, 2.0, 1.0, 0.5), cut=True)
    waits, later = Course((*alone.losses, 1.9), cut=True), Course((*alone.losses, 0.1), closed=True)
    assert waits.as_by_itself(alone) and not best.as_by_itself(alone) and not alone.as_by_itself(alone)
    assert not Course(waits.losses).as_by_itself(alone) and not waits.as_by_itself(None)  # to its end; none to compare
    asked: list[int] = []

    def courses(trial: Trial, changes: Sequence[object], steps: int | None, seconds: float) -> list[Course]:
        asked.append(len(changes))
        whole = [Course((*course.losses, 0.5), closed=True) for course in (better, best)]
        return [better, best, waits, alone] if len(asked) == 1 else [*whole, later]

    monkeypatch.setattr(Trial, "courses", courses)
    monkeypatch.setattr("surefoot.apply.best_of.at_once", lambda: 1)
    with curing("best-of:of=lr-scale:factor=0.7/lr-scale:factor=0.5/clip:max_norm=1e6") as told:
        bowl(0.01)
    assert asked == [4, 3] and told.summaries["best-of"].startswith("took clip:max_norm=1e6")


def test_the_validation_loss_decides_where_there_is_one() -> None:
    memorises = Course((4.0, 2.0, 1.0, 0.0), ((1, 3.0), (2, 1.0), (4, 2.0)))
    learns = Course((4.0, 3.0, 2.0, 2.0), ((1, 3.0), (2, 2.0), (4, 1.0)))
    assert scores([memorises, learns]) == [2.0, 1.0] and ranked([memorises, learns]) == [1, 0]
    once = Course(learns.losses, learns.evaluations[-1:])  # of test data
    assert ranked([memorises, once]) == [0, 1]
    lost = Course((4.0, math.inf, math.inf, math.inf))
    assert scores([memorises, learns, lost]) == [2.0, 1.0, math.inf]
    printed = [Course(c.losses, (), c.evaluations) for c in (memorises, learns)]
    assert scores(printed) == [2.0, 1.0] and scores(printed, by_losses=True) == [0.0, 2.0]
    blown = Course(learns.losses, ((1, 3.0), (4, math.inf)))
    assert ranked([blown, memorises]) == [1, 0]
    # one that is not heard does not have the others judged by what they learn by heart
    assert scores([memorises, once, learns]) == [2.0, math.inf, 1.0]
    assert scores([memorises, once, Course(learns.losses)]) == [0.0, 2.0, 2.0]


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


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("val_loss", -1),
        ("log_loss", -1),
        ("shapeNLL", -1),
        ("validation accuracy", 1),
        ("test/F1", 1),
        ("reward", 1),
        ("val_miss", -1),
        ("letter_errors", -1),
        ("val_ndcg", 1),
    ],
)
def test_names_of_the_field_have_a_direction(name: str, way: int) -> None:
    assert direction(name) == way


@pytest.mark.parametrize(
    "name", ["agreement", "loss", "train_loss", "epoch loss", "step", "off_by", "accuracy_loss", "temperature"]
)
def test_other_names_have_none(name: str) -> None:
    assert direction(name) == 0


@pytest.mark.parametrize(
    ("line", "badness"),
    [
        ("step 16  loss 0.5  auc 0.9  temperature 3", -0.9),
        ("epoch 3: train_loss=0.53, val_acc=0.91 (best 0.92)", -0.91),
        ("Epoch [3/10], Loss: 0.3456, Accuracy: 91.20%", -91.2),
        ("accuracy 0.5 | loss 2.3e-01 | val loss nan", math.inf),
        ("step 16  loss 0.5", math.nan),
    ],
)
def test_what_a_branch_prints_is_read(line: str, badness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    printed = Printed()
    printed.listen()
    print(*line.split(" "))
    assert printed.badness() == pytest.approx(badness, nan_ok=True) and math.isnan(printed.badness())


def noisy(steps: int = 200) -> float:
    """A linear model of as many numbers as it has samples, which fits their noise; the validation loss it comes to."""
    torch.manual_seed(0)
    x, x_val, w = torch.randn(20, 20), torch.randn(200, 20), torch.randn(20)
    y, y_val = x @ w + 3 * torch.randn(20), x_val @ w
    model = nn.Linear(20, 1, bias=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in range(steps):
        loss = F.mse_loss(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            with torch.no_grad():
                validation = F.mse_loss(model(x_val).squeeze(1), y_val).item()
    return validation


def test_branches_are_judged_by_the_validation_loss_at_the_end() -> None:
    alone = noisy()
    with curing("best-of:of=lr-scale:factor=2/lr-scale:factor=0.1") as told:
        assert noisy() < 0.7 * alone
    assert told.summaries["best-of"].startswith("took lr-scale:factor=0.1 of 2")


def test_nothing_is_taken_where_the_script_comes_further_by_itself() -> None:
    bare, _ = bowl(0.5)
    with curing("best-of:of=lr-scale:factor=0.001/lr-scale:factor=0.01") as told:
        losses, _ = bowl(0.5)
    assert losses == bare and told.summaries.keys() == {"best-of"}
    assert told.summaries["best-of"].startswith("took nothing: the script comes as far by itself")


def test_a_rate_among_several_remedies_is_tried_as_several() -> None:
    with curing("best-of:of=lr-search:factor=0.1/clip:max_norm=1e6") as told:
        losses, _ = bowl(50.0)  # a tenth of it diverges still
    assert losses[-1] < 1e-3 * losses[0]
    assert told.summaries["best-of"].startswith("took lr-scale:factor=0.0316 of 5")


def test_where_time_does_not_reach_to_the_end_the_best_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(lr: float) -> float:
        """A bowl whose steps take 5 ms, too long by far for all branches to come to the end."""
        torch.manual_seed(0)
        weight = nn.Parameter(torch.ones(4))
        optimizer = torch.optim.SGD([weight], lr=lr)
        for step in range(10**9):
            loss = 0.5 * weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if told.summaries.get("best-of", "took nothing") != "took nothing" and step >= 40:
                return loss.item()
            until = time.process_time() + 0.005
            while time.process_time() < until:
                pass
        return math.nan

    tried: list[int] = []
    courses = Trial.courses

    def counted(trial: Trial, changes: Sequence[Callable[[], None]], *given: Any) -> list[Course] | None:
        tried.append(len(changes))
        return courses(trial, changes, *given)

    monkeypatch.setattr(Trial, "courses", counted)
    monkeypatch.setattr("surefoot.apply.best_of.at_once", lambda: 2)
    with curing("best-of:of=lr-scale:factor=1e-4/lr-scale:factor=0.5/lr-scale:factor=1e-3,seconds=8") as told:
        assert slow(1.0) < 1e-3
    assert tried == [4, 2]
    assert told.summaries["best-of"].startswith(("took lr-scale:factor=0.5", "took nothing"))


def test_remedies_that_belong_together_are_one_choice() -> None:
    assert together("early-stopping:patience=3+weight-decay") == ["early-stopping:patience=3", "weight-decay"]
    assert together("orthogonal-recurrent:layers=a+b+clip") == ["orthogonal-recurrent:layers=a+b", "clip"]
    with curing("best-of:of=lr-scale:factor=0.001/clip:max_norm=9+weight-decay:decay=1") as told:
        bowl(0.2)
    assert {"clip", "weight-decay"} <= told.summaries.keys() and "lr-scale" not in told.summaries


@pytest.mark.parametrize(
    "text",
    ["best-of:of=warmup", "best-of:of=warmup/best-of:of=agc/clip", "best-of:of=x/y", "best-of:of=agc/clip+clip"],
)
def test_best_of_wants_remedies_that_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="best-of"), curing(text):
        pass
