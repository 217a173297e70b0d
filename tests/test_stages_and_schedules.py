"""Schedules that are called for other steps or told the wrong way, and stages that undo what the one before learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from histories import LOOKS, Stream, falling, train
from watching import watching

# -- schedules ---------------------------------------------------------------------------------------------------------


def called(often: float, end: int, steps: int = 200, power: float = 1.0) -> Stream:
    """A loss that is fit under a rate that is zero from step ``end`` on, by a scheduler called ``often`` a step."""
    stream = train(falling(steps, 2.3, 0.05, 0.0), lr=lambda s: 1e-3 * max(0.0, 1 - s / end) ** power)
    fact = {"name": "L", "type": "LambdaLR", "horizon": None, "optimizer": "", "optimizer_steps": 1, "steps": 0.0,
            "inner": False, "orphan": False, "fades": None}  # fmt: skip
    stream.event(1, "schedulers", final=False, schedulers=[fact])
    for step in LOOKS:
        if step <= steps:
            stream.row(step, "schedule", {("scheduler_steps", "L"): often * step})
    return stream


def test_a_schedule_called_for_each_batch_of_a_step_is_told_as_soon_as_nothing_is_left() -> None:
    found = called(4.0, 100).findings()["scheduler-misuse"]
    assert found.severity == "warning" and 110 <= found.detected_step <= 120
    assert found.evidence[0].value == 4.0 and found.evidence[0].where == "L"


@pytest.mark.parametrize(("often", "end"), [(1.0, 100), (0.05, 100), (4.0, 195), (4.0, 200)])
def test_a_schedule_of_steps_or_one_that_ends_with_the_run_is_not(often: float, end: int) -> None:
    assert "scheduler-misuse" not in called(often, end).loud()


def plateau(mode: str, name: str, values: list[float], signal: str = "printed_number", **fact: Any) -> list[str]:
    stream = train(falling(200))
    facts = {"name": "P", "type": "ReduceLROnPlateau", "horizon": None, "optimizer": "", "optimizer_steps": 1,
             "steps": 5.0, "inner": False, "orphan": False, "fades": None, "mode": mode, "best": values[0],
             "unbettered": True} | fact  # fmt: skip
    stream.event(50, "schedulers", final=False, schedulers=[facts])
    family = "printed" if signal == "printed_number" else "validation"
    for number, value in enumerate(values, 1):
        stream.row(10 * number, family, {(signal, name): value})
    return stream.loud()


GROWS = [0.2 + 0.04 * i for i in range(15)]


def test_a_plateau_scheduler_that_is_told_the_wrong_way() -> None:
    assert "scheduler-misuse" in plateau("min", "val_accuracy", GROWS)
    assert "scheduler-misuse" in plateau("max", "val_loss", GROWS[::-1])
    assert "scheduler-misuse" in plateau("max", "mse_loss", GROWS[::-1], "validation_loss")


def test_a_plateau_scheduler_that_is_told_the_right_way_or_of_what_got_worse() -> None:
    assert "scheduler-misuse" not in plateau("max", "val_accuracy", GROWS, unbettered=False)
    assert "scheduler-misuse" not in plateau("min", "val_loss", GROWS)  # it overfits from the first on
    assert "scheduler-misuse" not in plateau("min", "val_accuracy", GROWS[::-1])  # it is told, and worse
    assert "scheduler-misuse" not in plateau("min", "val_accuracy", GROWS, best=0.123)  # told another number


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_first_number_of_a_plateau_scheduler_stays_its_best(mode: str) -> None:
    net, x = nn.Linear(4, 1), torch.randn(16, 4)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, patience=2)
    with watching(1) as seen:
        for step in range(12):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
            scheduler.step(0.5 + 0.01 * step)
    mine = [f for f in seen.of("schedulers")[-1]["schedulers"] if f["mode"] == mode and f["steps"] == 12]
    assert [f["unbettered"] for f in mine] == [mode == "min"]
    assert mine[0]["best"] == pytest.approx(0.5 if mode == "min" else 0.61)


def second_stage(own: bool = False, theirs: bool = True, turns: int = 0, goes_on: bool = True) -> Any:
    """A head, then with another optimiser all of a model (or an unlike one), while the first one's scheduler moves on;
    ``turns`` of so many steps instead."""
    torch.manual_seed(0)
    net, other, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1)), nn.Linear(4, 1), torch.randn(16, 4)

    def second() -> torch.optim.Optimizer:
        return torch.optim.SGD((net if theirs else other).parameters(), 0.01)

    optimizer = torch.optim.SGD(net[1].parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    late = second() if turns else None
    mine = []
    with watching(1) as seen:
        for step in range(240):
            if step == 80 and not turns:
                late = second()
                mine += [torch.optim.lr_scheduler.CosineAnnealingLR(late, 160)] if own else []
            first = step % (2 * turns) < turns if turns else step < 80
            optimizer.zero_grad()
            (net if first or theirs else other)(x).square().mean().backward()
            stepped = optimizer if first or late is None else late
            stepped.step()
            for each in (scheduler, *mine) if first or goes_on else ():
                each.step()
    return seen


def test_a_scheduler_that_moves_on_after_another_optimizer_took_over() -> None:
    seen = second_stage()
    [fact] = seen.of("schedulers")[-1]["schedulers"]
    assert 80 <= fact["left_since"] < 90 and not fact["orphan"]
    told = [s for s, kind, data in seen.events if kind == "schedulers" and data["schedulers"][0]["left_since"]]
    assert told[0] < 100  # steps in a row before an optimiser leads are not counted
    found = seen.findings()["scheduler-misuse"]
    assert found.severity == "warning" and f"since step {fact['left_since']}" in found.cause


@pytest.mark.parametrize(
    "how",
    [{"own": True}, {"theirs": False}, {"turns": 30}, {"turns": 80}, {"goes_on": False}],
    ids=["it has its own", "of other parameters", "turns", "long turns", "both are left"],
)
def test_a_scheduler_whose_optimizer_may_step_again_or_that_rests_as_well(how: dict[str, Any]) -> None:
    seen = second_stage(**how)
    assert all(f["left_since"] is None for data in seen.of("schedulers") for f in data["schedulers"])


# -- stages ------------------------------------------------------------------------------------------------------------


def dialled(
    shares: Callable[[int], float], entropy: Callable[[int], float], score: Callable[[int], float] | None = None
) -> str | None:
    stream = Stream()
    for step in range(1, 400, 8):
        values = {("zero_advantage_share", ""): shares(step), ("policy_entropy", ""): entropy(step)}
        stream.row(step, "policy", values)
        if score is not None:
            stream.row(step, "printed", {("printed_number", "score"): score(step)})
    found = stream.findings().get("zero-variance-groups")
    return None if found is None else found.severity


@pytest.mark.parametrize(
    ("ends", "left", "severity"),
    [(0.6, 0.02, "warning"), (0.85, 0.02, "warning"), (0.95, 0.02, "info"), (0.6, 0.5, "info"), (60.0, 0.02, "info")],
    ids=["unsolved", "an eighth unsolved", "solved", "it tries more than one", "no share of all"],
)
def test_groups_without_variance_under_a_policy_that_has_decided(ends: float, left: float, severity: str) -> None:
    def learns(step: int) -> float:
        return min(1.0, step / 100)

    assert dialled(learns, lambda s: max(left, 2.4 - s / 40), lambda s: ends * learns(s)) == severity
    assert dialled(learns, lambda s: max(left, 2.4 - s / 40), lambda s: 0.74 * s / 400) == "info"  # it gains


def test_groups_without_variance_under_a_policy_that_has_become_unsure_again() -> None:
    def learns(step: int) -> float:
        return min(1.0, step / 100)

    assert dialled(learns, lambda s: 2.3 if s < 50 else 0.1 if s < 200 else 2.0) == "warning"
    assert dialled(learns, lambda s: 2.3 if s < 50 else 0.1) == "info"  # solved
    assert dialled(learns, lambda s: 2.3) == "info"  # many answers are right
    assert dialled(lambda s: 0.3, lambda s: 2.3 if s < 50 else 0.1 if s < 200 else 2.0) is None


def test_groups_without_variance_whose_task_has_run_away() -> None:
    def tightens(step: int) -> float:
        return 0.7 if step < 100 else max(0.0, 0.7 - step / 400)

    assert dialled(lambda s: min(1.0, s / 100), lambda s: 2.3, tightens) == "warning"
    assert dialled(lambda s: min(1.0, s / 100), lambda s: 2.3, lambda s: 0.35) == "info"  # no less than ever
    assert dialled(lambda s: 0.3, lambda s: 2.3, tightens) is None


def rewarded(second: Callable[[int], float]) -> list[str]:
    stream = train([1e-3 * i + 0.1 * math.sin(i) for i in range(400)])
    for number in range(1, 41):
        value = min(1.0, 0.2 * number) if number <= 12 else second(number - 12)
        stream.row(10 * number, "printed", {("printed_number", "reward"): value + 0.01 * (-1) ** number})
        stream.row(10 * number, "policy", {("policy_entropy", ""): 1.0})
    return stream.loud()


def test_a_reward_that_climbs_again_after_its_task_became_harder_is_not_lost() -> None:
    assert "divergence" in rewarded(lambda n: 0.3)
    assert "divergence" not in rewarded(lambda n: 0.05 + 0.015 * n)


@pytest.mark.parametrize(
    ("entropy", "later", "told"),
    [
        (lambda n: 2.0 if n < 4 else 1e-3, 0.3, True),
        (lambda n: 2.0 if n < 4 else 1e-3, 1.0, False),  # it has found what is best, and loses nothing
        (lambda n: 2.0 if n < 4 else 0.1, 0.3, False),  # it tries other actions, too: that is not why
        (lambda n: 2.0 if n < 4 else 1e-3 if n < 16 else 0.5, 0.3, False),  # it tries again
        (lambda n: 1e-3, 0.3, False),  # of few choices, or sure from the start: nothing was decided
    ],
)
def test_a_policy_that_decided_and_then_lost(entropy: Callable[[int], float], later: float, told: bool) -> None:
    stream = train([0.1 * math.sin(i) for i in range(400)])
    for number in range(1, 41):
        value = min(1.0, 0.2 * number) if number <= 20 else later
        stream.row(10 * number, "printed", {("printed_number", "profit"): value + 0.01 * (-1) ** number})
        stream.row(10 * number, "policy", {("policy_entropy", ""): entropy(number)})
    found = stream.findings()
    assert ("softmax-collapse" in found) is told
    if told:
        assert found["softmax-collapse"].first_step == 40 and found["softmax-collapse"].severity == "warning"
        assert found["softmax-collapse"].remedies[0].apply == "entropy-bonus:coef=0.1"
    assert "divergence" not in found  # a profit may become smaller for other reasons


@pytest.mark.parametrize(("name", "told"), [("basket", True), ("loss", False), ("temperature", False)])
@pytest.mark.parametrize("way", [1, -1])
def test_what_a_policy_is_for_is_known_by_the_way_it_went_at_first(name: str, told: bool, way: int) -> None:
    stream = train([0.1 * math.sin(i) for i in range(400)])
    for number in range(1, 41):
        value = way * (min(1.0, 0.2 * number) if number <= 20 else 0.3) + 0.01 * (-1) ** number
        stream.row(10 * number, "printed", {("printed_number", name): value})
        stream.row(10 * number, "policy", {("policy_entropy", ""): 2.0 if number < 4 else 1e-3})
    assert ("softmax-collapse" in stream.loud()) is told


@pytest.mark.parametrize(
    ("first", "later", "entropy", "told"),
    [
        (0.3, 0.2, 1e-3, True),
        (0.3, 0.35, 1e-3, False),  # it has gained
        (0.3, 0.2, 0.1, False),  # it tries other things still
    ],
)
def test_a_policy_that_decided_for_nothing(first: float, later: float, entropy: float, told: bool) -> None:
    stream = train([0.1 * math.sin(i) for i in range(200)])
    for number in range(1, 21):
        stream.row(10 * number, "printed", {("printed_number", "solved"): first if number < 4 else later})
        stream.row(10 * number, "policy", {("policy_entropy", ""): 2.0 if number < 4 else entropy})
    found = stream.findings()
    assert ("softmax-collapse" in found) is told
    if told:
        assert found["softmax-collapse"].first_step == 40 and found["softmax-collapse"].detected_step <= 80


def test_a_policy_that_gained_what_it_is_paid_by_did_not_decide_for_nothing() -> None:
    stream = train([0.1 * math.sin(i) for i in range(200)])
    for number in range(1, 21):
        # an exam of longer words, and what the short ones earn
        earned = {("printed_number", "score"): 0.28, ("printed_number", "reward"): min(1.0, 0.3 * number)}
        stream.row(10 * number, "printed", earned)
        stream.row(10 * number, "policy", {("policy_entropy", ""): 2.0 if number < 4 else 1e-3})
    assert "softmax-collapse" not in stream.findings()


@pytest.mark.parametrize("signal", ["policy_entropy", "weighted_choice_entropy"])
@pytest.mark.parametrize(
    ("entropy", "steps", "told"),
    [
        (lambda s: 2.0 if s == 1 else 1e-3, 128, True),
        (lambda s: 2.0 if s == 1 else 1e-3, 48, False),  # it may come back from there
        (lambda s: 2.0 if s <= 16 else 1e-3, 128, False),  # it has tried for a while
        (lambda s: 2.0 if s == 1 else 0.1, 128, False),  # it tries other things still
        (lambda s: 1e-3, 128, False),  # it was sure before
        (lambda s: 2.0 if s == 1 else 1e-3 if s < 56 else 0.5, 128, False),  # it tries again
    ],
)
def test_a_policy_that_decides_at_once(signal: str, entropy: Callable[[int], float], steps: int, told: bool) -> None:
    stream = train([0.1 * math.sin(i) for i in range(steps)])
    for step in (s for s in LOOKS if s <= steps):
        stream.row(step, "policy", {(signal, ""): entropy(step)})
    found = stream.findings()
    assert ("softmax-collapse" in found) is told
    if told:
        first, *_ = (remedy.apply for remedy in found["softmax-collapse"].remedies)
        assert 64 <= found["softmax-collapse"].detected_step <= 72
        assert (first == "baseline") is (signal == "weighted_choice_entropy")


def stage(above: float, rate: float, promise: float) -> str | None:
    """A second stage at a 500th of the rate, at whose start what was learned is ``above`` times a constant's loss."""
    made = {"name": "", "type": "Adam", "parameters": 10}
    first = falling(100, 1.6, 0.01, 0.0)
    second = [1.6 * above * (1 - 1e-4 * i) + 0.02 * math.sin(7 * i) for i in range(200)]
    stream = train(
        first + second,
        constant=1.6,
        elasticity=100.0,
        rate=lambda s: 5e-3 if s <= 100 else rate,
        lr=lambda s: 1e-3 if s <= 100 else 2e-6,
        overshoot=lambda s: 1e-2 if s <= 100 else promise,
    )
    stream.event(1, "optimizers", optimizers=[made | {"defaults": {"lr": 1e-3}}])
    stream.event(101, "optimizers", optimizers=[made | {"defaults": {"lr": 2e-6}}], renewed="")
    found = stream.findings().get("learning-rate-too-low")
    return None if found is None else found.severity


def test_a_stage_that_is_sure_and_wrong_and_cannot_come_to_a_constant_s_loss() -> None:
    assert stage(2.0, 1.5e-5, 6e-4) == "warning"
    assert stage(2.0, 1.5e-5, 2e-2) is None  # it promises to be there soon
    assert stage(2.0, 1.5e-3, 6e-4) is None  # it moves as others do
    assert stage(0.9, 1.5e-5, 6e-4) is None  # what was learned still serves


# -- steps that are too long ------------------------------------------------------------------------------------------


def spiking(height: float, times: int, batches: float = 1.0, floor: Callable[[int], float] = lambda s: 1e-3) -> str:
    losses = [max(floor(s), 2.0 * math.exp(-s / 20)) for s in range(1, 601)]
    for k in range(times):
        for i in range(6):
            losses[320 + 280 * k // max(1, times) + i] *= height / (1 + i)
    stream = train(losses)
    for step in LOOKS:
        if step <= 600:
            stream.row(step, "batch", {("distinct_batches", ""): batches})
    found = stream.findings().get("loss-spike")
    return "" if found is None else found.severity


def test_one_batch_whose_loss_is_thrown_up_by_a_decade_again_and_again() -> None:
    assert spiking(50.0, 4) == "warning"
    assert spiking(50.0, 2) != "warning"
    assert spiking(5.0, 4) != "warning"
    assert spiking(50.0, 4, batches=8.0) != "warning"  # other data may be harder
    assert spiking(50.0, 4, floor=lambda s: math.exp(-s / 100)) != "warning"  # it gains in between


@pytest.mark.parametrize(("peak", "slope", "told"), [(1e5, 0.0, True), (10.0, 0.0, False), (1e5, 1e-2, False)])
def test_steps_that_blew_the_units_out(peak: float, slope: float, told: bool) -> None:
    losses = [1.2, peak, peak, peak, *(0.04 * math.exp(-slope * i) for i in range(146))]
    stream = train(losses, rate=lambda s: 1e3 if s < 4 else 1e-9, overshoot=lambda s: 2.0 if s < 4 else 1e-9)
    for step in LOOKS:
        if step <= 150:
            stream.row(step, "activations", {("saturated_share", "net.1"): 0.0 if step == 1 else 1.0})
    assert ("learning-rate-too-high" in stream.loud()) == told


def bootstrap(
    loss: Callable[[int], float], error: Callable[[int], float], name: str = "td_error", apart: int = 20
) -> Stream:
    stream = train([loss(s) for s in range(1, 801)])
    for step in range(apart, 801, apart):
        stream.row(step, "printed", {("printed_number", name): error(step)})
    return stream


def bootstrapped(loss: Callable[[int], float], error: Callable[[int], float], name: str = "td_error") -> list[str]:
    return bootstrap(loss, error, name).loud()


def test_a_loss_whose_noise_grows_with_it_is_not_at_its_best() -> None:
    def wild(s: int) -> float:  # ever further from its best, by ever larger leaps
        return 0.5 * math.exp(-min(s, 400) / 80) * (math.exp((s - 400) / 40 + 1.5 * math.sin(s)) if s > 400 else 1.0)

    def lost(s: int) -> float:
        return 0.05 + 0.2 * math.exp(-s / 80) + (0.4 if s > 500 else 0.0)

    assert "divergence" in bootstrapped(wild, lost, "error")
    fit = bootstrapped(lambda s: 0.5 * math.exp(-s / 80) * (1 + 0.9 * math.sin(s)), lost, "error")
    assert "divergence" not in fit  # what is lost while the loss is at its best is overfitting's


def test_a_loss_and_a_printed_error_that_rise_together() -> None:
    def rises(s: int) -> float:
        return 1e-3 * math.exp(s / 200)

    loud = bootstrapped(rises, lambda s: 0.2 + 0.001 * s)
    assert "divergence" in loud and "overfitting" not in loud
    assert "divergence" not in bootstrapped(rises, lambda s: 0.2 - 1e-4 * s)  # returns grow: it is well
    assert "divergence" not in bootstrapped(rises, lambda s: 0.2 + 0.001 * s, "return")
    assert "divergence" not in bootstrapped(lambda s: 1e-2 * math.exp(-s / 200), lambda s: 0.2 + 0.001 * s)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (lambda s: 0.2 * math.exp(s / 500), 450),  # e^0.3 at each third: that once more is twice the first third
        (lambda s: 0.2 + 0.2 * s / 800, None),  # by less of itself each time
        (lambda s: 0.2 * math.exp(s / 3000), None),  # too slowly
        (lambda s: 0.2 * math.exp(s / 500) * (1 + 0.5 * (s % 100 == 0)), 700),  # noise: not before all is twice as high
    ],
)
def test_an_error_that_grows_by_its_own_size_is_told_before_it_is_twice_as_high(
    error: Callable[[int], float], told: int | None
) -> None:
    stream = bootstrap(lambda s: 1e-3 * math.exp(s / 400), error, apart=50)
    found = stream.findings().get("divergence")
    assert (found and found.detected_step) == told
