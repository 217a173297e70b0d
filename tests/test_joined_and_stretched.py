"""What comes later in a run and upsets it: layers that join, batches from elsewhere, longer sequences, long steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from histories import LOOKS, Stream, falling, flat, layered, train
from surefoot.findings.turned import first_way

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


@pytest.mark.parametrize(
    ("last", "left", "told"),
    [
        (1e-3, 0.3, True),
        (0.05, 0.3, False),  # no tighter than it may have been meant to be
        (1e-3, 0.02, False),  # a fit
    ],
)
def test_a_clip_bound_that_follows_what_it_clips(last: float, left: float, told: bool) -> None:
    stream = train([*falling(60, 1.0, left, noise=0.005), *flat(540, left, 0.005)], constant=1.0)
    for step in (s for s in LOOKS if s <= 600):
        ratio = max(last, 0.3 * 0.97 ** max(0, step - 60)) if step > 60 else 1.0
        stream.row(step, "gradients", {("clip_ratio", ""): ratio})
    found = stream.findings().get("always-clipping")
    assert (found is not None and any("when clipping began" in e.source for e in found.evidence)) is told


@pytest.mark.parametrize(
    ("batches", "rate", "last", "told"),
    [
        (1.0, lambda s: min(6e-3, 2e-5 * s), 0.06, True),
        (7.0, lambda s: min(6e-3, 2e-5 * s), 0.06, False),  # other batches have other losses
        (1.0, lambda s: 2e-3, 0.06, False),
        (1.0, lambda s: min(6e-3, 2e-5 * s), 0.012, False),
    ],
)
def test_a_rate_raised_past_what_one_batch_bears(
    batches: float, rate: Callable[[int], float], last: float, told: bool
) -> None:
    losses = [*falling(200, 1.0, 0.01, noise=0.0), *falling(400, 0.01, last, noise=0.0)]
    stream = train(losses, constant=1.0, lr=rate)
    for step in (s for s in LOOKS if s <= 600):
        stream.row(step, "samples", {("distinct_batches", ""): batches, ("batch_rows", ""): 64.0})
    found = stream.findings().get("learning-rate-too-high")
    assert (found is not None and "one and the same batch" in found.cause) is told


@pytest.mark.parametrize(
    ("spread", "left", "most", "told"),
    [(900.0, 0.01, 0.95, True), (3.0, 0.01, 0.95, False), (900.0, 0.5, 0.95, False), (900.0, 0.01, 0.3, False)],
)
def test_an_output_that_the_loss_hardly_sees(spread: float, left: float, most: float, told: bool) -> None:
    stream = train(falling(600, 1.0, 0.01), constant=1.0)
    for step in (s for s in LOOKS if s <= 600):
        row = {"output_spread": spread, "outputs_left": left, "output_left_most": most}
        stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
    assert ("loss-term-imbalance" in stream.loud()) is told


@pytest.mark.parametrize(("noise", "cover", "told"), [(0.1, 0.3, True), (1.0, 0.3, False), (0.1, 0.85, False)])
def test_noise_that_fades(noise: float, cover: float, told: bool) -> None:
    stream = train([1.0] * 500, rate=0.02, name="g_opt", looks=range(50, 501, 50))
    train([1.0] * 500, rate=0.02, name="d_opt", looks=range(50, 501, 50), stream=stream)
    for step in range(50, 501, 50):
        part = (step - 50) / 450
        row = {"generated_move": 0.1, "generated_spread": 0.9, "coverage": 0.9 + part * (cover - 0.9), "precision": 0.9}
        stream.row(step, "game", {(signal, "G"): value for signal, value in row.items()})
        stream.row(step, "inputs", {("input_rms", "G.0"): 1.0 + part * (noise - 1.0)})
    found = stream.findings().get("mode-collapse")
    assert (found is not None and "noise" in found.cause) is told


@pytest.mark.parametrize(
    ("values", "way"),
    [([0.69, 0.70, 0.69, 0.3, 0.1], -1), ([0.5, 0.49, 0.6, 0.9], 1), ([2.0, 1.2, 1.5, 3.0], -1), ([1.0, 1.0], 0)],
)
def test_a_number_of_unknown_kind_goes_a_way_once_it_has_gone_a_quarter_of_it(values: list[float], way: int) -> None:
    assert first_way(np.array(values)) == way


@pytest.mark.parametrize(("later", "told"), [(0.0, False), (3.0, True)])
def test_parameters_that_only_a_first_stage_missed_have_healed(later: float, told: bool) -> None:
    stream = train(falling(600), constant=2.3)
    for step in (s for s in LOOKS if s <= 600):
        stream.row(step, "wiring", {("missed_parameters", ""): 3.0 if step < 200 else later})
        if step < 200 or later:
            stream.event(step, "missed", parameters=["a", "b", "c"], left=False, copies=False, rests_since=0)
    stream.event(600, "exit", code=0, exception=None)
    assert ("optimizer-misses-parameters" in stream.loud()) is told


@pytest.mark.parametrize(
    ("growth", "share", "worst", "told"),
    [(8.0, 0.95, 0.5, True), (1.1, 0.95, 0.5, False), (8.0, 0.3, 0.5, False), (8.0, 0.95, 0.15, False)],
)
def test_two_players_that_drive_each_other_outward(growth: float, share: float, worst: float, told: bool) -> None:
    stream = train(falling(600), name="A")
    train([-loss for loss in falling(600)], name="B", stream=stream)
    best = [0.2 * 0.9**i for i in range(16)]
    for number, value in enumerate([*best, *np.linspace(best[-1], worst, 6), *[worst] * 8], 1):
        stream.row(20 * number, "printed", {("printed_number", "exploitability"): float(value)})
    for step in range(20, 600, 20):
        went = {"turns": 0.3, "coherence": 0.2, "share": share, "growth": growth if step > 300 else 0.8, "balance": 0.4}
        stream.row(step, "rotation", {(f"rotation_{signal}", ""): value for signal, value in went.items()})
    assert ("adversarial-rotation" in stream.loud()) is told


@pytest.mark.parametrize(
    ("height", "every", "labels", "told"),
    [(0.4, 40, False, True), (0.03, 40, False, False), (0.4, 150, False, False), (0.4, 40, True, False)],
)
def test_a_loss_that_is_thrown_up_again_and_again(height: float, every: int, labels: bool, told: bool) -> None:
    teeth = [0.015 + height * math.exp(-(s % every) / 15) for s in range(400)]
    stream = train([*falling(200, 1.0, 0.012, noise=0.0), *teeth], constant=1.0)
    for step in (s for s in LOOKS if labels and s <= 600):
        seen = min(10, 2 + step // 60)
        row = {"label_classes": seen, "label_classes_seen": seen, "batch_rows": 64.0}
        stream.row(step, "samples", {(signal, ""): float(value) for signal, value in row.items()})
    found = stream.findings().get("loss-spike")
    assert (found is not None and "sets back" in found.cause) is told
