"""Rules on runs that learn something, and then rest far from a fit: what is trivial to learn excuses no fault."""

from __future__ import annotations

import math

import numpy as np
import pytest

from histories import LOOKS, Stream, falling, flat, layered, train
from surefoot.findings.levels import LossLevel
from surefoot.findings.progress import fit, resting

LN10 = math.log(10)
LOUD_START = [2.3, 5.0, 4.0, 3.0, 2.3]
HIGH, LOW, SIZE = "learning-rate-too-high", "learning-rate-too-low", "off-critical-initialisation"


def ended(stream: Stream, step: int) -> Stream:
    stream.event(step, "exit", code=0, exception=None)
    return stream


def test_a_level_knows_where_it_stood_at_half_of_the_run() -> None:
    level = LossLevel()
    assert math.isnan(level.at_half)
    for step in range(1, 1001):
        level.add(step, 1000.0 / step)
    # the median of the newest 32 rows, at a mark no more than an eighth of the run before step 500
    assert 2.0 < level.at_half < 1000 / (500 / 1.13 - 32) and len(level.marks) < 60
    assert not resting(level) and resting(level, left=0.0005, slowed=0.4)


@pytest.mark.parametrize(
    ("overshoot", "rate", "told"),
    [
        (lambda s: 1.5 if s < 8 else 0.02, 0.01, True),  # looks at steps 1, 2 and 4
        (lambda s: 1.5 if s < 3 else 0.02, 0.01, False),  # two alone
        (0.3, lambda s: 0.5 if s <= 16 else 0.01, True),  # 2.5 times the size of the weights by five looks
        (0.3, 0.02, False),
    ],
)
def test_steps_that_threw_back_a_run_that_still_learns(overshoot, rate, told: bool) -> None:
    losses = [*LOUD_START, *falling(60, 2.2, 1.2), *flat(200, 1.2)]
    stream = train(losses, overshoot=overshoot, rate=rate, constant=LN10)
    assert (HIGH in stream.loud()) == told
    healed = train([*LOUD_START, *falling(260, 2.2, 0.2)], overshoot=overshoot, rate=rate, constant=LN10)
    assert HIGH not in healed.loud()


def test_weights_that_begin_smaller_than_a_step_are_thrown_nowhere() -> None:
    """A table drawn from ±0.01: its first steps are twice its size, and the loss goes down slowly from the start."""
    down = [2.3 - 0.003 * s for s in range(260)]
    long = {"rate": lambda s: 0.5 if s <= 16 else 0.01, "constant": LN10}
    assert HIGH not in train(down, **long).loud()
    assert HIGH in train([2.3, 3.1, *down], **long).loud()


@pytest.mark.parametrize(
    ("overshoot", "rate", "over", "told"),
    [
        (2e-4, 6e-5, True, True),  # all steps promise a tenth
        (2e-4, 6e-5, False, False),  # it may go on
        (2e-5, 6e-5, False, True),  # 5,000 more steps to a tenth
        (2e-3, 6e-5, True, False),  # they promised all of it
        (2e-4, 6e-3, True, False),  # the weights moved by their own size
    ],
)
def test_a_run_whose_steps_together_promise_too_little(overshoot: float, rate: float, over: bool, told: bool) -> None:
    stream = train(flat(250, 2.3, 0.2), overshoot=overshoot, rate=rate, constant=LN10)
    assert (LOW in (ended(stream, 250) if over else stream).loud()) == told


@pytest.mark.parametrize(("curved", "last", "told"), [(5e-4, 1.5, True), (0.05, 1.5, False), (5e-4, 0.2, False)])
def test_a_loss_at_rest_where_the_curvature_would_allow_far_longer_steps(curved: float, last: float, told: bool):
    stream = train([*falling(150, 2.3, last, 0.01), *flat(200, last, 0.01)], overshoot=4e-4, rate=6e-5, constant=LN10)
    for step in (20, 40, 80):
        stream.row(step, "curvature", {("stability_coefficient", ""): curved})
    assert (LOW in stream.loud()) == told


@pytest.mark.parametrize(("noise", "told"), [(0.01, True), (1.5, False)])
def test_what_varies_by_its_own_size_is_no_height_in_a_bowl(noise: float, told: bool) -> None:
    rng = np.random.default_rng(0)
    losses = [2.2 * math.exp(noise * rng.normal()) for _ in range(300)]
    stream = train(losses, overshoot=4e-4, rate=6e-5)
    for step in (20, 40, 80):
        stream.row(step, "curvature", {("stability_coefficient", ""): 5e-4})
    assert (LOW in stream.loud()) == told


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({}, True),
        ({"overshoot": 0.5}, False),  # a batch of its own did that, or another loss
        ({"overshoot": 1.2}, False),  # one look: there a convex loss may still have come nearer
        ({"peak": 4.0}, False),  # not twice a constant's
        ({"last": 2.0}, False),  # it had not come down
        ({"at": 8}, False),  # such a jump may be over soon
    ],
    ids=str,
)
def test_what_was_learned_is_thrown_up_above_all_that_it_began_with(how: dict[str, float], told: bool) -> None:
    def thrown(overshoot: float = 2.5, peak: float = 9.0, last: float = 0.2, at: int = 150) -> Stream:
        losses = falling(200, 2.3, last, 0.01)
        losses[at : at + 4] = [peak] * 4
        return train(losses, overshoot=lambda s: overshoot if at < s <= at + 10 else 1e-3, constant=LN10)

    assert (HIGH in thrown(**how).loud()) == told


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({}, True),
        ({"curved": 0.05}, False),  # a rate ten times as high would come to the bound of the curvature
        ({"overshoot": 3e-3}, False),  # 128 such steps promise more than half
        ({"last": 0.3}, False),  # most of it is gone
        ({"first": 1.5, "last": 1.3}, False),  # a fine-tune begins low, and may step as it likes
        ({"ratio": 0.05}, False),  # that is clipping's doing
    ],
    ids=str,
)
def test_a_run_that_learns_under_steps_that_could_be_ten_times_as_long(how: dict[str, float], told: bool) -> None:
    def stream(first=2.3, last=1.6, overshoot=4e-4, curved=5e-4, ratio=1.0) -> Stream:
        found = train(falling(250, first, last, 0.01), overshoot=overshoot, rate=6e-5, constant=LN10)
        for step in (20, 60, 120):
            found.row(step, "curvature", {("stability_coefficient", ""): curved})
        for step in LOOKS:
            found.row(step, "gradients", {("clip_ratio", ""): ratio})
        return found

    found = stream(**how).findings().get(LOW)
    assert (found is not None and found.detected_step) == (told and 128)


@pytest.mark.parametrize(("first", "share", "ratio", "told"), [
    (12.0, 0.9, 6.0, True),
    (12.0, 0.2, 6.0, False),  # no unit was lost, and it is fit
    (12.0, 0.9, 1.0, False),  # what is wrong is not the size of the weights
    (2.4, 0.9, 6.0, False),  # norms, say: the first loss does not show it
])  # fmt: skip
def test_weights_that_start_too_large_in_few_layers(first: float, share: float, ratio: float, told: bool) -> None:
    names = ("hidden", "middle", "out")
    stream = train(falling(200, first, 0.2), constant=LN10)
    layered(stream, "activations", "activation_rms", lambda s: [2.0, 4.0, 8.0], LOOKS[:20], names)
    layered(stream, "unit", "dead_share", lambda s: [0.0, share if s > 30 else 0.0, 0.0], LOOKS[:20], names)
    stream.event(1, "initialisation", activation="relu", weight_variance=dict.fromkeys(names, 2 * ratio))
    assert (SIZE in stream.loud()) == told


@pytest.mark.parametrize(("last", "sizes", "over", "told"), [
    (0.7, (8.0, 8.0, 8.0), True, True),
    (0.7, (8.0, 8.0, 8.0), False, False),  # it may still get there
    (0.2, (8.0, 8.0, 8.0), True, False),  # it got there
    (0.7, (8.0, 8.0, 2.0), True, False),  # one layer is as usual
])  # fmt: skip
def test_a_start_of_all_layers_that_the_run_never_made_good(
    last: float, sizes: tuple[float, ...], over: bool, told: bool
) -> None:
    names = ("hidden", "middle", "out")
    stream = train(list(np.geomspace(12.0, last, 200)), constant=LN10)  # it still falls at the end
    layered(stream, "activations", "activation_rms", lambda s: [0.7, 0.8, 2.0], LOOKS[:20], names)
    stream.event(1, "initialisation", activation="tanh", weight_variance=dict(zip(names, sizes, strict=True)))
    if over:
        stream.event(200, "exit", code=0, exception=None)
    assert (SIZE in stream.loud()) == told


def test_weights_that_start_too_small_in_few_layers() -> None:
    names = ("hidden", "middle", "out")
    for losses, told in ((flat(150), True), (falling(150), False)):
        stream = train(losses, constant=LN10)
        layered(stream, "activations", "activation_rms", lambda s: [0.1, 0.01, 0.001], LOOKS[:20], names)
        stream.event(1, "initialisation", activation="relu", weight_variance=dict.fromkeys(names, 0.01))
        assert (SIZE in stream.loud()) == told


def test_a_large_epsilon_that_holds_what_has_learned_a_little() -> None:
    def held(overshoot: float) -> list[str]:
        stream = train(falling(400, 2.3, 1.5, 0.01), overshoot=overshoot, rate=1e-4, constant=LN10)
        stream.event(1, "optimizers", optimizers=[{"name": "", "type": "Adam", "defaults": {"eps": 1.0}}])
        layered(stream, "adaptivity", "epsilon_share", lambda s: [1.0] * 8, LOOKS)
        return layered(stream, "adaptivity", "epsilon_factor", lambda s: [0.01] * 8, LOOKS).loud()

    assert "epsilon-dominated-update" in held(1e-4)
    assert "epsilon-dominated-update" not in held(1e-2)  # steps are long enough
    assert "epsilon-dominated-update" not in held(1e-7)  # and would be too short without it


def test_a_decay_is_not_why_layers_stand_still_that_epsilon_holds() -> None:
    def told(eps: float) -> list[str]:
        stream = train(flat(200), overshoot=1e-6, rate=1e-6, constant=LN10)
        stream.event(1, "optimizers", optimizers=[{"name": "", "type": "Adam", "defaults": {"eps": eps}}])
        layered(stream, "adaptivity", "epsilon_share", lambda s: [1.0] * 8, LOOKS)
        layered(stream, "adaptivity", "epsilon_factor", lambda s: [0.01] * 8, LOOKS)
        decay = [1e-2 * 4.0**i for i in range(8)]
        return layered(stream, "gradients", "gradient_rms", lambda s: decay, LOOKS).loud()

    assert "vanishing-gradient" in told(1e-8) and "vanishing-gradient" not in told(1.0)


def test_below_zero_no_loss_is_fit() -> None:
    history = train([0.01, -0.01, -0.02, -0.02] * 20).engine().history
    assert not fit(history)
    assert fit(train([1.0, 0.01, 0.01, 0.01] * 20).engine().history)


def test_a_short_run_that_is_over_and_learned_nothing_has_stalled() -> None:
    for length, told in ((150, True), (60, False)):
        stream = train(flat(length, LN10, 0.2), rate=0.01, overshoot=1e-2, constant=LN10)
        assert ("stalled" in ended(stream, length).loud()) == told


def test_two_optimizers_that_share_a_loss_have_one() -> None:
    losses = [*LOUD_START, *falling(60, 2.2, 1.2), *flat(200, 1.2)]
    shared = train(losses, rate=lambda s: 0.5 if s <= 16 else 0.01, overshoot=0.1, constant=LN10, name="A")
    assert HIGH in train(losses, rate=0.01, overshoot=0.01, constant=LN10, name="B", stream=shared).loud()
    other = train(losses, rate=lambda s: 0.5 if s <= 16 else 0.01, overshoot=0.1, constant=LN10, name="A")
    assert HIGH not in train(falling(len(losses)), rate=0.01, overshoot=0.01, name="B", stream=other).loud()


def test_a_loss_that_climbs_back_without_an_end() -> None:
    climbing = [1.2 * 1.006**i for i in range(150)]
    slow = train([*falling(250, 2.3, 1.2, 0.01), *climbing], constant=LN10).findings()
    assert slow["divergence"].severity == "warning"
    back = [0.9 * 1.006**i for i in range(180)]
    for before, told in ((np.linspace(1.2, 2.4, 60), False), (np.linspace(1.2, 1.1, 60), True)):  # a climb like that
        losses = [*falling(200, 2.3, 1.2, 0.01), *before, *np.linspace(before[-1], 0.9, 100), *flat(30, 0.9), *back]
        assert ("divergence" in train(losses, constant=LN10).findings()) == told
    for new, told in ((10.0, False), (5.0, True)):  # of labels that are new, or the same
        stream = train([*falling(250, 2.3, 1.2, 0.01), *climbing], constant=LN10)
        for step, classes in ((200, 5.0), (300, new), (380, new)):
            stream.row(step, "samples", {("label_classes_seen", ""): classes})
        assert ("divergence" in stream.findings()) == told
    other = train([*falling(250, 2.3, 1.2, 0.01), *climbing], constant=LN10)
    for (step, family), row in other.values.items():
        if family == "step" and step > 250:
            row.pop(("constant_loss", ""))  # of a loss function that is not known: no longer the same
    assert "divergence" not in other.findings()
    hump = [*climbing[:100], *climbing[99:40:-1]]
    assert "divergence" not in train([*falling(250, 2.3, 1.2, 0.01), *hump], constant=LN10).findings()


@pytest.mark.parametrize(("ratio", "overshoot", "lr", "told"), [
    (0.005, 4e-3, 0.01, True),
    (0.05, 4e-3, 0.01, True),  # a decade slower than it could be
    (0.05, 2e-2, 0.01, False),  # normalised steps, of a rate that was chosen for it
    (0.005, 2e-2, 0.01, False),  # the same, of a sum over many rows: four times what Polyak's bound allows unclipped
    (0.005, 4e-3, lambda s: 0.01 * (1 - s / 301), False),  # it was meant to end here
])  # fmt: skip
def test_clipping_that_leaves_a_run_unfinished(ratio: float, overshoot: float, lr, told: bool) -> None:
    losses = [2.3 - 1.5 * i / 300 for i in range(300)]
    stream = train(losses, rate=4e-4, overshoot=overshoot, lr=lr, constant=LN10)
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": "SGD", "defaults": {"lr": 0.01}}])
    for step in LOOKS:
        if step <= 300:
            stream.row(step, "gradients", {("clip_ratio", ""): ratio})
    assert ("always-clipping" in ended(stream, 300).loud()) == told


def test_a_first_loss_far_off_under_a_gradient_that_is_far_too_large() -> None:
    def told(first: float, elasticity: float) -> list[str]:
        return train(falling(200, first, 0.4), elasticity=elasticity, constant=0.3).loud()

    assert "exploding-gradient" in told(22.0, 1500.0)
    assert "exploding-gradient" not in told(22.0, 100.0) + told(0.4, 1500.0)


def test_a_loss_that_is_zero_by_its_signs_has_no_scale() -> None:
    """A policy's clipped surrogate: with advantages of mean 0 it begins at a rounding of zero."""

    def told(low: float) -> list[str]:
        losses = [1e-7, *[low, 1e-3] * 60]
        return train(losses, elasticity=1e6, overshoot=20.0).loud()

    assert "exploding-gradient" in told(2e-3) and "exploding-gradient" not in told(-2e-3)


def test_large_weights_are_no_large_inputs() -> None:
    def told(variance: float) -> list[str]:
        stream = train(flat(200, 50.0), constant=LN10)
        layered(stream, "inputs", "preactivation_scale", lambda s: [14.0], LOOKS[:8], ["in"])
        layered(stream, "inputs", "feature_spread", lambda s: [1.0], LOOKS[:8], ["in"])
        stream.event(1, "initialisation", activation="relu", weight_variance={"in": variance})
        return stream.loud()

    assert "unscaled-inputs" in told(1 / 3) and "unscaled-inputs" not in told(60.0)
