"""What comes later in a run and upsets it: layers that join, batches from elsewhere, longer sequences, long steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from histories import LOOKS, Stream, falling, flat, layered, train

NAN = math.nan


def grown(leap: float, after: float, gradient: float = 1e4) -> Stream:
    """Two layers learn for 200 steps, then two more join."""
    losses = [*falling(200, 2.0, 0.1), *[leap] * 3, *[after] * 97]
    stream = train(losses, constant=1.0, looks=range(4, 301, 8), elasticity=lambda s: 1.0 if s <= 200 else gradient)
    every = [{"name": name, "type": "Linear", "parameters": 100, "depth": i} for i, name in enumerate("acdb")]
    stream.event(4, "modules", root="Net", modules=[every[0], every[3]])
    stream.event(201, "optimizers", optimizers=[{"name": "", "type": "Adam", "parameters": 400}])
    stream.event(204, "modules", root="Net", modules=every)
    return stream


@pytest.mark.parametrize(
    ("leap", "after", "gradient", "told"),
    [
        (500.0, 20.0, 1e4, True),
        (500.0, 0.2, 1e4, False),  # soon made good
        (0.5, 0.4, 1e4, False),  # no more than what is new has to learn
        (500.0, 20.0, 1e-4, False),  # and no gradient that went with it
    ],
)
def test_layers_that_join_and_throw_the_network_off(leap: float, after: float, gradient: float, told: bool) -> None:
    found = grown(leap, after, gradient).findings().get("exploding-gradient")
    assert (found is not None and found.where == ("c", "d")) is told
    if told:
        assert found.first_step == 201 and found.severity == "critical"


@pytest.mark.parametrize(("loss", "told"), [(30.0, True), (3.0, False)])
def test_a_stretch_of_other_inputs_is_bad_where_the_model_does_absurdly_on_it(loss: float, told: bool) -> None:
    losses = [*falling(60, 2.0, 0.1), *[loss] * 60]
    stream = train(losses, constant=2.0, looks=[*LOOKS, 61])
    for step in (1, 2, 4, 8, 12, 16, 24, 32, 48, 61, 64, 80):
        stream.row(step, "samples", {("batch_rows", ""): 64.0, ("row_loss_median", ""): loss})
        stream.row(step, "inputs", {("input_rms", "fc"): 1.0 + 0.01 * (step % 3) if step < 61 else 3.4})
    stream.event(61, "odd_batch", rows=[3, 9], losses=[9.0, 8.0], hashes=[])
    found = stream.findings().get("bad-batch")
    assert (found is not None) is told


@pytest.mark.parametrize(
    ("bits", "length", "last", "told"),
    [(40.0, 72.0, NAN, True), (10.0, 72.0, NAN, False), (40.0, 24.0, NAN, False), (40.0, 72.0, 0.1, False)],
)
def test_sequences_that_became_longer_and_blew_up(bits: float, length: float, last: float, told: bool) -> None:
    stream = train([*falling(100, 1.0, 0.1), *[last] * 20], rate=0.01)
    for step in (s for s in LOOKS if s <= 101):
        now = (1.0, 24.0) if step <= 96 else (bits, length)
        row = {("bptt_rate", "f"): now[0] * math.log(2) / now[1], ("bptt_length", "f"): now[1]}
        stream.row(step, "recurrence", row)
    row = {("bptt_rate", "f"): bits * math.log(2) / length, ("bptt_length", "f"): length}
    stream.row(101, "recurrence", row)
    found = stream.findings().get("bptt-explosion")
    assert (found is not None and found.severity == "critical") is told
    if told:
        assert found.first_step == 1 + max(s for s in LOOKS if s <= 96)  # after the last look at short ones


@pytest.mark.parametrize(
    ("rate", "losses", "told"),
    [
        (0.03, flat(400, 1.8), True),
        (0.002, flat(400, 1.8), False),  # it has hardly moved
        (0.03, flat(400, 0.3), False),  # most is learned
        (0.03, falling(400, 2.3, 0.2), False),
    ],
)
def test_steps_that_turn_all_weights_over_while_the_loss_rests(rate: float, losses: list[float], told: bool) -> None:
    stream = train(losses, constant=2.3, rate=rate, overshoot=0.05)
    layered(stream, "weights", "update_ratio", lambda step: [rate] * 3, [s for s in LOOKS if s <= 400], "abc")
    found = stream.findings().get("learning-rate-too-high")
    assert (found is not None) is told


@pytest.mark.parametrize(
    ("first", "now", "losses", "told"),
    [
        (0.25, 0.06, flat(300), True),
        (0.9, 0.06, flat(300), False),  # it was learned, and is another finding's if anyone's
        (0.25, 0.25, flat(300), False),
        (0.25, 0.06, falling(300), False),
    ],
)
def test_attention_that_was_born_narrow(first: float, now: float, losses: list[float], told: bool) -> None:
    stream = train(losses, constant=2.3)
    for step in (s for s in LOOKS if s <= 300):
        value = first if step < 32 else now
        stream.row(step, "attention", {("attention_entropy", "pool"): value, ("attention_logit_max", "pool"): NAN})
    assert ("attention-logit-growth" in stream.loud()) is told


@pytest.mark.parametrize(("spread", "told"), [(lambda s: 1.0, True), (lambda s: 0.6 + s / 60, False)])
def test_a_loss_that_rises_with_the_spread_of_its_own_targets(spread: Callable[[int], float], told: bool) -> None:
    climbing = [0.3 + 0.7 * min(1.0, max(0, s - 60) / 240) for s in range(1, 401)]
    climbing[:60] = falling(60, 1.0, 0.3, noise=0.0)
    stream = train([*climbing, *[1.0 + 0.2 * s / 200 for s in range(200)]], constant=1.0)
    for (step, family), values in stream.values.items():
        if family == "step" and values[("constant_loss", "")] == 1.0:
            values[("constant_loss", "")] = spread(step)
    assert ("divergence" in stream.loud()) is told
