"""Numbers that the script prints: read from its lines, told by their names, and what one that turns says."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from histories import Stream, train
from surefoot.analysis.printed_numbers import direction, held_out, of_the_result, pairs
from watching import watching


def test_pairs_of_a_line() -> None:
    line = "Epoch 3/30  train loss: 0.31 | val_acc=91.5  surprise 1.2e-03"
    assert pairs(line) == [("Epoch", 3.0), ("train loss", 0.31), ("val_acc", 91.5), ("surprise", 1.2e-3)]


@pytest.mark.parametrize("name", ["val_error", "test_nats", "surprise", "right", "success rate", "held_kl"])
def test_names_of_a_result(name: str) -> None:
    assert of_the_result(name)


@pytest.mark.parametrize(
    "name",
    ["step", "loss", "lr", "train_acc", "grad_norm", "kl", "epoch", "sigma", "mean loss", "d_loss", "critic loss"],
)
def test_names_of_settings_and_of_training(name: str) -> None:
    assert not of_the_result(name)
    assert direction(name) == 0


def test_names_of_held_out_data() -> None:
    assert held_out("test_nats") and held_out("held-out score") and not held_out("surprise")


# --- what is heard ----------------------------------------------------------------------------------------------------


def prints(steps: int) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        print(f"step {step}  loss 1.0", end="  ")
        print("surprise", step / 4)


def test_lines_go_where_they_went_and_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    bare, heard = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", bare)
    prints(6)
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)  # what a process writes to
    monkeypatch.setattr(sys, "stdout", stream)
    with watching(None) as seen:
        seen.observer.printed.listen()
        prints(6)
        assert "write" in vars(stream)
    assert "write" not in vars(stream)
    heard.write(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    assert heard.getvalue() == bare.getvalue()
    assert seen.signal("printed_number", "surprise") == {step: step / 4 for step in range(1, 7)}
    assert not seen.signal("printed_number", "loss") and not seen.of("note")


def test_somebody_before_the_stream_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    with watching(None) as seen:
        seen.observer.printed.listen()
        stream.write = later = lambda text: len(text)  # type: ignore[method-assign]
    assert stream.write is later


def test_where_lines_are_many_some_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    with watching(None) as seen:
        seen.observer.printed.listen()
        prints(1100)
    steps = sorted(seen.signal("printed_number", "surprise"))
    # every one before 512; from there on each second, from 768 on each third, from 1024 on each fourth
    assert steps[:511] == list(range(1, 512)) and len(steps) < 512 + 128 + 86 + 20


# --- what it says -----------------------------------------------------------------------------------------------------

FALLING = [2.3 * math.exp(-i / 60) + 0.01 for i in range(400)]
TURNS = [2.0, 1.6, 1.3, 1.1, 1.0, *(1.0 + 0.03 * i for i in range(1, 16))]  # in the end 0.45 of the 1.0 that it gained


def printing(values: list[float], name: str, losses: list[float] = FALLING) -> Stream:
    stream = train(losses, constant=2.3)
    every = len(losses) // len(values)
    for number, value in enumerate(values, 1):
        stream.row(number * every, "printed", {("printed_number", name): value})
    return stream


def test_a_number_of_held_out_data_that_turns_is_overfitting() -> None:
    found = printing(TURNS, "test_nats").findings()["overfitting"]
    assert found.severity == "warning" and found.first_step == 100
    assert found.evidence[0].where == "test_nats" and found.evidence[0].value == pytest.approx(1.39)
    assert found.evidence[0].threshold == pytest.approx(1.25)


def test_an_accuracy_turns_the_other_way() -> None:
    falls_back = [1 - 0.4 * value for value in TURNS]
    assert printing(falls_back, "accuracy").findings()["overfitting"].severity == "warning"
    assert "overfitting" not in printing(TURNS, "accuracy").findings()


@pytest.mark.parametrize(
    ("last", "accuracy", "name", "decay", "told"),
    [
        (0.05, lambda i: 0.2, "accuracy", 0.0, True),  # 1 − 0.05/ln 2 = 0.93 of the training rows are right at least
        (0.05, lambda i: 0.5, "accuracy", 0.0, False),
        (0.35, lambda i: 0.2, "accuracy", 0.0, False),  # half of them may be wrong, too
        (0.05, lambda i: 0.2 + 0.02 * i, "accuracy", 0.0, False),  # it still gains
        (0.05, lambda i: 0.2, "train accuracy", 0.0, False),
        (0.05, lambda i: 0.2, "accuracy", 0.01, False),  # weights move on: it may come yet
    ],
)
def test_an_accuracy_far_below_what_the_training_loss_says(
    last: float, accuracy: Callable[[int], float], name: str, decay: float, told: bool
) -> None:
    stream = train([max(last, 2.3 - step / 20) for step in range(200)], constant=2.3)
    stream.event(1, "optimizers", optimizers=[{"name": "", "kind": "Adam", "lr": 1e-3, "weight_decay": decay}])
    for step in (1, 2, 4, 8, 16, 32, 64, 128):
        stream.row(step, "logits", {("num_classes", "loss"): 10.0})
    for i in range(20):
        stream.row(10 * i + 10, "printed", {("printed_number", name): accuracy(i)})
    assert ("overfitting" in stream.findings()) == told


def test_a_name_that_says_nothing_is_no_overfitting() -> None:
    assert "overfitting" not in printing(TURNS, "tilt").findings()


def test_an_error_that_was_best_when_it_was_printed_first_is_measured_by_itself() -> None:
    rises = [0.1 + 0.01 * i for i in range(20)]
    assert printing(rises, "test_nats").findings()["overfitting"].severity == "warning"
    assert "overfitting" not in printing(rises, "tilt").findings()
    assert "overfitting" not in printing([1 + 0.01 * i for i in range(20)], "test_nats").findings()


def test_a_number_that_moves_a_little_or_only_improves_has_not_turned() -> None:
    little = [*TURNS[:5], *(1.0 + 0.012 * i for i in range(1, 16))]  # 0.16 of what was gained
    assert "overfitting" not in printing(little, "val_error").findings()
    assert "overfitting" not in printing([2 - 0.05 * i for i in range(20)], "val_error").findings()
    soon = TURNS[:16]  # eleven values since the best
    assert "overfitting" not in printing(soon, "val_error").findings()


def test_where_it_is_far_worse_than_at_first_fewer_values_are_enough() -> None:
    lost = [2.0, 1.6, 1.3, 1.1, 1.0, *(1.0 + 0.5 * i for i in range(1, 9))]
    found = printing(lost, "val_error").findings()["overfitting"]
    assert found.severity == "warning" and found.detected_step == 360  # the best is then in the first third
    mildly = [*lost[:5], *(1.0 + 0.1 * i for i in range(1, 9))]  # it has gone back, and is not beyond its first
    assert "overfitting" not in printing(mildly, "val_error").findings()


@pytest.mark.parametrize(("name", "told"), [("accuracy", True), ("score", False), ("mean_return", False)])
def test_what_is_won_by_playing_on_is_not_learned_by_heart(name: str, told: bool) -> None:
    bad = [-value for value in TURNS]
    assert ("overfitting" in printing(bad, name).findings()) == told


@pytest.mark.parametrize(("name", "told"), [("val_nll", True), ("eval_score", False), ("nll", False)])
def test_a_density_has_losses_below_zero_as_a_policy_has(name: str, told: bool) -> None:
    below = [value - 1.5 for value in FALLING]
    bad = [-value for value in TURNS] if name == "eval_score" else TURNS
    assert ("overfitting" in printing(bad, name, below).findings()) == told


def test_where_the_training_loss_rises_too_it_is_another_fault() -> None:
    rising = [*FALLING[:100], *(FALLING[100] + 0.005 * i for i in range(300))]
    assert "overfitting" not in printing(TURNS, "val_error", rising).findings()


def rewarded(values: list[float], name: str = "mean reward", constant: float = math.nan) -> list[str]:
    stream = train([1e-3 * i + 0.1 * math.sin(i) for i in range(400)], constant=constant)
    every = 400 // len(values)
    for number, value in enumerate(values, 1):
        stream.row(number * every, "printed", {("printed_number", name): value})
    return stream.loud()


RISES = [0.1 * i for i in range(12)]


def test_a_reward_that_is_lost_again_where_the_loss_tells_nothing() -> None:
    assert rewarded([*RISES, *[1.1] * 12, *[0.3] * 12]) == ["divergence"]
    assert rewarded([*RISES, *[1.1] * 12, *[0.8] * 12]) == []  # less than half of it
    assert rewarded([*RISES, *[1.1] * 12, *[0.3] * 5]) == []  # for less than a quarter of the run
    assert rewarded([*RISES, *[1.1, 0.1] * 12]) == []  # noise
    assert rewarded([*RISES, *[1.1] * 12, *[0.3] * 12], "temperature") == []


def test_a_weight_that_grows_on_while_what_is_printed_is_lost() -> None:
    def priced(weight: Callable[[int], float], quality: list[float], gradient: float = 0.4) -> list[str]:
        stream = printing(quality, "psnr", [0.02 + 1e-4 * i for i in range(400)])
        for step in (4, 8, 16, 32, 64, 128, 256, 320, 352, 384, 385):
            row = {("term_gradient_norm", "squared_error"): 1.0, ("term_gradient_norm", "add"): gradient}
            row |= {("term_value", "squared_error"): 0.01, ("term_weight", "squared_error"): 1.0}
            stream.row(step, "terms", row | {("term_weight", "add"): weight(step)})
        return stream.loud()[:1]

    lost = [*(19 + 0.2 * i for i in range(9)), *[20.6] * 8, *(20.6 - 0.12 * i for i in range(13))]
    assert priced(lambda s: 1e-3 * s, lost) == ["loss-term-imbalance"]
    assert priced(lambda s: 1e-3 * 2 ** (s // 64), lost) == ["loss-term-imbalance"]  # in steps
    assert priced(lambda s: min(0.1, 1e-3 * s), lost) == ["divergence"]  # it was warmed up, and stays
    assert priced(lambda s: 1e-3 * min(300, s), lost) == ["divergence"]  # late, and has not grown since
    assert priced(lambda s: 1e-3 * s, lost, gradient=0.01) == ["divergence"]
    assert priced(lambda s: 1e-3 * s, sorted(lost)) == []
    # it was none when the number was best, first at step 117, and was switched on
    assert priced(lambda s: 0.1 * (s >= 250), lost, gradient=0.6) == ["loss-term-imbalance"]
    assert priced(lambda s: 0.1 * (s >= 250), lost, gradient=0.4) == ["divergence"]
    assert priced(lambda s: 0.1 * (s >= 60), lost, gradient=0.6) == ["divergence"]  # it was on when that was best


@pytest.mark.parametrize(
    ("turns", "name", "rises", "told"),
    [(1.2, "parameter_error", 0.5, True), (0.4, "parameter_error", 0.5, False), (1.2, "tilt", 0.5, False),
     (1.2, "parameter_error", 0.05, False)],
)  # fmt: skip
def test_a_game_that_turned_once_and_is_worse_than_at_first(turns: float, name: str, rises: float, told: bool) -> None:
    stream = train(FALLING, name="A")
    train([-loss for loss in FALLING], name="B", stream=stream)
    for number, value in enumerate([2.0, 1.6, 1.3, 1.1, 1.0, *(1.0 + rises * i for i in range(1, 15))], 1):
        stream.row(20 * number, "printed", {("printed_number", name): value})
    for step in range(20, 400, 20):
        went = {"turns": turns if step == 120 else 0.1, "coherence": 0.95, "share": 0.9, "growth": 1.2, "balance": 0.5}
        stream.row(step, "rotation", {(f"rotation_{signal}", ""): value for signal, value in went.items()})
    assert ("adversarial-rotation" in stream.loud()) == told
