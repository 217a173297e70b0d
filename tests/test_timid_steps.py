"""``learning-rate-too-low`` of a run that learns: steps that could have been ten times as long."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from histories import LAYERS, LOOKS, Stream, falling, layered, train

LN10 = math.log(10)
LOW = "learning-rate-too-low"


def over(losses: list[float], curvature: float | None, **given) -> Stream:
    """A run that has come to its end."""
    stream = train(losses, **given)
    for step in (s for s in LOOKS if s <= len(losses) and curvature is not None):
        stream.row(step, "curvature", {("stability_coefficient", ""): curvature})
    stream.event(len(losses), "exit", code=0, exception=None)
    return stream


def longest_at_8(usual: float) -> Callable[[int], float]:
    """One step that promised so much that none could be a hundred times as long."""
    return lambda step: 2.2e-3 if step == 8 else usual


HALVED = {
    "losses": falling(300, 2.3, 1.7, 0.01),
    "curvature": None,
    "rate": 1e-4,
    "overshoot": longest_at_8(5e-4),
    "constant": LN10,
}


def test_steps_that_could_not_have_halved_the_loss() -> None:
    found = over(**HALVED).findings()[LOW]
    assert found.severity == "warning" and found.detected_step == 300
    # 300 steps that promise a thousandth of the loss each, and none of them more than 0.3 of it together
    assert found.evidence[0].value == pytest.approx(0.3, rel=0.05) and found.evidence[0].threshold == math.log(2)


@pytest.mark.parametrize(
    "changed",
    [
        {"overshoot": longest_at_8(1.3e-3)},  # 0.78 of it promised
        {"losses": falling(300, 2.3, 1.0, 0.01)},  # more than half of it is gone
        {"rate": 4e-3},  # the weights moved by more than their own size
        {"curvature": 0.06},  # the rate could not be ten times as high
        {"constant": 3 * LN10},  # a fine-tune begins far below a constant's loss
        {"lr": lambda s: 1e-3 * 0.97**s},  # it is the schedule that left nothing
        {"lr": lambda s: 1e-5 * s},  # or a warm-up
        {"elasticity": 0.01},  # it is the gradient that is missing
    ],
)
def test_runs_whose_steps_are_not_what_is_short(changed: dict) -> None:
    assert LOW not in over(**HALVED | changed).loud()


@pytest.mark.parametrize(("raised", "told"), [(150, True), (290, False)])
def test_a_rate_that_was_raised_long_ago_is_no_warm_up(raised: int, told: bool) -> None:
    changed = {"lr": lambda s: 3e-4 if s >= raised else 1e-4, "looks": sorted({*LOOKS, *range(4, 301, 8), 300})}
    assert (LOW in over(**HALVED | changed).loud()) == told


def test_a_run_that_is_not_over_may_still_get_there() -> None:
    assert over(**HALVED).engine(until=299).findings == ()


@pytest.mark.parametrize(("saddle", "told"), [(False, True), (True, False)])
def test_what_is_flat_before_anything_was_learned_may_be_a_saddle(saddle: bool, told: bool) -> None:
    losses = [2.3] * 150 if saddle else falling(150, 2.3, 1.7, 0.01)
    stream = over(losses, 1e-3, rate=1e-4, overshoot=5e-4, constant=LN10)
    assert (LOW in [f.id for f in stream.engine(until=140).findings]) == told


FAR = {
    "losses": list(2.3 * np.arange(1, 301) ** -0.25),
    "curvature": 6e-3,
    "rate": 2e-3,
    "overshoot": 2e-3,  # 1.2 of the loss promised in all
    "constant": LN10,
}


def test_a_loss_that_ten_times_the_steps_would_bring_down_by_a_third() -> None:
    found = over(**FAR).findings()[LOW]
    assert found.detected_step == 300
    assert found.evidence[0].value == pytest.approx(10**-0.25, rel=0.1)  # a power law is told as what it is
    assert "lr-search:factor=10" in str(found.remedies[0].apply)


@pytest.mark.parametrize(
    "changed",
    [
        {"losses": list(2.3 * np.arange(1, 301) ** -0.1)},  # by a fifth
        {"curvature": 0.02},  # 25 times the rate, and it is at the edge
        {"curvature": None},  # by the promise alone it must bring it down by two
        {"overshoot": 5e-3},
        {"rate": 5e-3},
        {"losses": list(0.1 + 2.3 * np.arange(1, 301) ** -0.6)},  # most of it is learned
    ],
)
def test_runs_that_have_no_room_or_no_need(changed: dict) -> None:
    assert LOW not in over(**FAR | changed).loud()


SADDLE = {
    "losses": list(2.3 - 0.9 * (np.arange(1, 301) / 300) ** 2),  # the longer the faster
    "curvature": 4e-3,
    "rate": 5e-3,  # the weights moved by more than their size
    "overshoot": 1.8e-3,  # 1.1 of the loss promised in all
    "constant": LN10,
}


def test_a_loss_that_has_just_begun_to_fall_under_steps_two_decades_too_short() -> None:
    found = over(**SADDLE).findings()[LOW]
    assert found.evidence[0].value == pytest.approx(0.2 / 1.8e-3, rel=0.01) and found.evidence[0].threshold == 100


@pytest.mark.parametrize(
    "changed",
    [
        {"curvature": 6e-3},
        {"overshoot": 2.2e-3},
        {"losses": list(2.3 - 0.05 * np.arange(1, 301) / 300 + 0.1 * np.cos(np.arange(300)))},  # nothing there to learn
        {"losses": list(2.3 - 1.3 * (np.arange(1, 301) / 300) ** 2)},  # more than half of it is gone
    ],
)
def test_runs_that_are_less_than_two_decades_from_good_steps(changed: dict) -> None:
    assert LOW not in over(**SADDLE | changed).loud()


BOWL = {
    "losses": [*falling(150, 2.3, 1.2, 0.01), *falling(150, 1.2, 1.19, 0.01)],  # noise hides whether it still falls
    "curvature": 1.5e-3,
    "rate": 5e-3,
    "overshoot": 5e-3,
    "constant": LN10,
}


def test_a_loss_that_training_never_sharpened() -> None:
    found = over(**BOWL).findings()[LOW]
    assert found.detected_step == 300
    assert found.evidence[0].value == pytest.approx(1.5e-3) and found.evidence[0].threshold == 2e-3
    assert "lr-search:factor=10" in str(found.remedies[0].apply)


@pytest.mark.parametrize(
    "changed",
    [
        {"curvature": 2.5e-3},
        {"curvature": None},
        {"overshoot": 0.03},  # a step ten times as long would promise too much
        {"losses": list(2.3 + 0.05 * np.cos(np.arange(300)))},  # nothing there to learn
        {"losses": falling(300, 2.3, 0.3, 0.01)},  # most of it is learned
    ],
)
def test_a_loss_that_was_sharp_or_has_nothing_left(changed: dict) -> None:
    assert LOW not in over(**BOWL | changed).loud()


@pytest.mark.parametrize(("last", "told"), [(1.4, False), (0.9, True)])
def test_without_curvature_the_gain_must_be_plain(last: float, told: bool) -> None:
    changed = {"losses": list(np.linspace(2.3, last, 300)), "curvature": None, "overshoot": 2.5e-3}
    assert (LOW in over(**FAR | changed).loud()) == told


@pytest.mark.parametrize(
    ("sizes", "told"),
    [((0.335, 0.31, 2.0), True), ((0.335, 0.4, 2.0), False), ((0.335,), False), ((0.335, 0.31, 2.0, 1.0), False)],
)
def test_weights_as_torch_draws_them_begin_from_nothing(sizes: tuple[float, ...], told: bool) -> None:
    """Of 1,000 weights the mean square is within 0.04 of 1/3, four standard deviations of that of a uniform one."""
    stream = over(**SADDLE | {"constant": math.nan})
    names = [f"layers.{i}" for i in range(len(sizes))]
    stream.event(1, "modules", modules=[{"name": name, "type": "Linear", "parameters": 1000} for name in names])
    stream.event(1, "initialisation", activation="relu", weight_variance=dict(zip(names, sizes, strict=True)))
    stream.row(1, "weights", {("weight_rms", name): 0.1 for name in names})
    assert (LOW in stream.loud()) == told


@pytest.mark.parametrize(("step", "told"), [(1, True), (120, False)])
def test_a_later_stage_begins_from_what_was_learned(step: int, told: bool) -> None:
    stream = over([*falling(step - 1, 2.3, 0.4, 0.01), *SADDLE["losses"]], 4e-3, rate=5e-3, overshoot=1.8e-3)
    layered(stream, "weights", "weight_rms", lambda s: [1.0] * 8, LOOKS)
    norms = [{"name": name, "type": "LayerNorm", "parameters": 8} for name in LAYERS]
    stream.event(1, "modules", modules=norms)
    for at, parameters in ((1, 9), (step, 5)):
        stream.event(at, "optimizers", optimizers=[{"name": "", "type": "Adam", "parameters": parameters}])
    assert (LOW in stream.loud()) == told


PAID = {"moved": 0.05, "entropy": 1.2, "gain": lambda s: s**2, "over": True}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, True),
        ({"moved": 0.15}, False),
        ({"entropy": 0.6}, False),  # it has decided
        ({"gain": lambda s: s**0.5}, False),  # what is left to gain is ever less
        ({"gain": lambda s: s**2 + 2 * (-1) ** round(40 * s)}, False),  # noise
        ({"over": False}, False),
    ],
)
def test_a_policy_that_was_still_learning_faster_when_the_run_ended(changed: dict, told: bool) -> None:
    how = PAID | changed
    stream = train([0.0] * 400, rate=how["moved"] / 400, looks=range(10, 401, 10))
    for step in range(10, 401, 10):
        entropy = 1.4 + (how["entropy"] - 1.4) * step / 400
        stream.row(step, "policy", {("policy_entropy", ""): entropy, ("zero_advantage_share", ""): 0.0})
        stream.row(step, "printed", {("printed_number", "reward"): how["gain"](step / 400)})
    if how["over"]:
        stream.event(400, "exit", code=0, exception=None)
    assert (LOW in stream.loud()) == told


@pytest.mark.parametrize(("first", "told"), [(2.2, True), (0.9, False)])
def test_a_fine_tune_may_promise_little(first: float, told: bool) -> None:
    stream = over(falling(300, first, 0.98 * first, 0.01), None, rate=1e-4, overshoot=3e-4, constant=2.2)
    assert (LOW in stream.loud()) == told
