"""Findings that come before their harm: growth carried on to its limit, bounds that hold from the first look."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from histories import LAYERS, Stream, falling, flat, layered, train
from surefoot.findings.cycles import strongest_cycle
from surefoot.findings.foresight import at_twice, at_twice_by_power, before
from watching import watching

CE = "cross_entropy"
LN10 = math.log(10)
SPARSE = (1, 2, 4, 8, 16, 32, 64, 128)  # the looks of a run with short steps


def severity(stream: Stream, id: str, until: int = 10**9) -> str | None:
    found = stream.findings(until).get(id)
    return None if found is None else found.severity


# -- the laws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_a_series_is_carried_on_by_its_own_law(power: float) -> None:
    steps = np.array(SPARSE)
    values = 3e-4 * steps**power
    assert at_twice_by_power(steps, values) == pytest.approx((values[-1] * 2**power,) * 2)
    assert at_twice(steps, 5.0 - 2.0 * steps) == pytest.approx(5.0 - 2.0 * 256)


def test_growth_that_is_ending_shows_in_the_newest_quarter() -> None:
    steps = np.array([16, 32, 48, 64])
    low, high = at_twice_by_power(steps, np.array([1.0, 2.0, 6.0, 6.5]))
    assert low < 8 < 20 < high


def test_what_has_no_past_has_no_future() -> None:
    assert before(np.array([5, 6]), 0.5) is None and before(np.empty(0, np.int64), 0.5) is None
    assert math.isnan(at_twice(np.array([5, 6]), np.ones(2)))
    assert all(math.isnan(value) for value in at_twice_by_power(np.array([1, 4]), np.array([0.0, 1.0])))


# -- logits ------------------------------------------------------------------------------------------------------------


def logits(steps: tuple[int, ...] = SPARSE, **signals: Callable[[int], float]) -> Stream:
    stream = train(falling(max(steps), 3.0, 0.5, 0.0), looks=steps)
    for step in steps:
        stream.row(step, "logits", {(signal, CE): value(step) for signal, value in signals.items()})
    return stream


def rounding(share: Callable[[int], float], decay: float = 0.0, batches: float = 1.0, worst: float = 5.0) -> Stream:
    stream = logits(softmax_rounding_share=share, target_margin_min=lambda s: worst, softmax_headroom=lambda s: 1.0)
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": "Adam", "weight_decay": decay, "defaults": {}}])
    for step in SPARSE:
        stream.row(step, "samples", {("distinct_batches", ""): batches})
    return stream


def test_rounding_that_nothing_will_stop_is_told_before_it_is_half_of_the_gradient() -> None:
    def cube(step: int) -> float:
        return 0.1 * (step / 128) ** 3

    found = rounding(cube).findings()["softmax-collapse"]
    assert found.severity == "warning" and found.detected_step == 128 and "step 256" in found.cause
    assert severity(rounding(cube, decay=0.1), "softmax-collapse") is None
    assert severity(rounding(cube, batches=2.0), "softmax-collapse") is None
    assert severity(rounding(cube, worst=-1.0), "softmax-collapse") is None
    assert severity(rounding(lambda s: 0.1 * s / 128), "softmax-collapse") is None


def test_nine_tenths_at_two_looks_are_an_info() -> None:
    assert severity(rounding(lambda s: 0.95 if s >= 64 else 1e-7), "softmax-collapse") == "info"
    assert severity(rounding(lambda s: 0.95 if s == 128 else 1e-7, decay=0.1), "softmax-collapse") is None


def drifting(shift: Callable[[int], float], error: float = 2.0**-8, steps: tuple[int, ...] = SPARSE) -> Stream:
    return logits(steps, log_partition_mean=shift, logit_shift=shift, logit_rounding=lambda s: error * abs(shift(s)))


def test_a_drift_that_will_cost_bits_is_told_before() -> None:
    id = "output-logit-divergence"
    found = drifting(lambda s: 2.0 - 25 * s / 128).findings()[id]
    assert found.severity == "warning" and found.detected_step == 128 and "step 256" in found.cause
    assert severity(drifting(lambda s: 2.0 - 25 * s / 128, 2.0**-24), id) is None  # float32
    assert severity(drifting(lambda s: 2.0 - 20 * s / 128), id) is None  # one look is beyond 10
    steps = (*SPARSE[:-1], 96, 112, 128)
    assert severity(drifting(lambda s: 2.0 - 25 * s / 128, steps=steps), id) == "warning"
    # at step 112 no slower over half of the run than before it, but at rest over most of the newest quarter
    ends = lambda s: float(np.interp(s, [0, 32, 64, 80], [2.0, 0.4, -6.0, -12.4]))  # noqa: E731
    assert severity(drifting(ends, 2.0**-7, steps), id) is None
    assert severity(drifting(lambda s: 2.0 - 20 * math.sqrt(s / 128)), id) is None  # it slows down


def test_targets_are_found_where_a_script_gathers_them() -> None:
    torch.manual_seed(0)
    net, targets = nn.Linear(4, 3), torch.arange(6) % 3
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with watching(1) as seen:
        for _ in range(2):
            optimizer.zero_grad()
            (-net(torch.randn(6, 4)).log_softmax(-1).gather(1, targets[:, None]).mean()).backward()
            optimizer.step()
    rows = [row for row in seen.rows if row[1].name == "logits"]
    assert rows and ("target_margin_min", "log_softmax") in rows[0][1].columns
    places = rows[0][1].columns.index(("target_margin_min", "log_softmax"))
    assert np.isfinite(rows[0][2][places])


# -- flow --------------------------------------------------------------------------------------------------------------


def test_the_deeper_the_decay_the_sooner_it_explains_a_loss_that_stands() -> None:
    def decaying(bits: float) -> Stream:
        stream = train(flat(200), constant=2.3)
        looks = range(2, 200, 2)
        return layered(
            stream, "gradients", "gradient_rms", lambda s: [2.0 ** (-bits / 6 * (7 - i)) for i in range(8)], looks
        )

    told = [decaying(bits).findings()["vanishing-gradient"].detected_step for bits in (13.0, 9.0, 4.5)]
    assert told == sorted(told) and 24 <= told[0] < 40 < told[1] < 80 < told[2] <= 132


def test_tokens_are_seen_to_be_one_from_two_looks_if_the_newest_is_not_long_ago() -> None:
    def similar(steps: tuple[int, ...], last: int) -> Stream:
        stream = train(flat(last), constant=LN10)
        stream.event(1, "modules", modules=[{"name": n, "type": "LayerNorm"} for n in LAYERS])
        return layered(stream, "rank", "token_cosine", lambda s: [1 - 0.9 * 2.0 ** (-3 * i) for i in range(8)], steps)

    assert similar((8, 16), 30).findings()["rank-collapse"].detected_step >= 24
    assert severity(similar((8, 16), 20), "rank-collapse") is None  # nothing was learned for too short
    assert severity(similar((2, 4), 40), "rank-collapse") is None  # long ago
    assert severity(similar((8,), 40), "rank-collapse") is None
    assert similar((8, 12, 16), 60).findings()["rank-collapse"].detected_step == 24  # looks stop where they are dear
    assert severity(similar((2, 4, 5), 60), "rank-collapse") is None  # long ago by then


def test_attention_that_chose_its_key_before_half_was_learned() -> None:
    def attended(last: float) -> Stream:
        stream = train(falling(200, LN10, last), constant=LN10)
        for step in range(10, 200, 10):
            stream.row(
                step, "attention", {("attention_logit_max", "qkv"): 2.0 * step, ("attention_entropy", "qkv"): 0.02}
            )
        return stream

    assert severity(attended(1.5), "attention-logit-growth") == "warning"
    assert severity(attended(0.5), "attention-logit-growth") == "info"


@pytest.mark.parametrize(("logits", "told"), [((200, 300, 250, 400, 500), "warning"), ((45, 300, 250, 300, 350), None)])
def test_attention_that_was_on_one_key_before_anything_was_learned(logits: tuple[float, ...], told: str | None) -> None:
    stream = train(falling(60, LN10, 1.9), constant=LN10)
    for step, logit in zip((1, 4, 8, 16, 32), logits, strict=True):
        stream.row(step, "attention", {("attention_logit_max", "qkv"): logit, ("attention_entropy", "qkv"): 0.02})
    assert severity(stream, "attention-logit-growth") == told


@pytest.mark.parametrize(("ends", "born", "told"), [(0.7, True, "warning"), (0.3, True, None), (0.7, False, "info")])
def test_attention_born_on_one_key_whose_loss_rests_far_from_a_fit(ends: float, born: bool, told: str | None) -> None:
    stream = train([*falling(60, LN10, ends), *flat(190, ends)], constant=LN10)
    for step in (1, 4, 8, 16, *range(20, 250, 10)):
        logit = 80.0 if born or step > 60 else 5.0
        stream.row(step, "attention", {("attention_logit_max", "qkv"): logit, ("attention_entropy", "qkv"): 0.02})
    assert severity(stream, "attention-logit-growth") == told


@pytest.mark.parametrize(("entropy", "last", "told"), [(0.05, 2.0, "warning"), (0.3, 2.0, None), (0.05, 0.2, None)])
def test_an_attention_that_a_layer_scores_and_that_was_born_on_one_key(
    entropy: float, last: float, told: str | None
) -> None:
    stream = train(falling(150, LN10, last), constant=LN10)
    for step in (1, 2, 4, 8, *range(16, 150, 16)):
        row = {("attention_logit_max", "score"): math.nan, ("attention_entropy", "score"): entropy}
        stream.row(step, "attention", row)
    assert severity(stream, "attention-logit-growth") == told


def test_three_looks_are_enough_where_no_layer_moves_at_all() -> None:
    def silent(steps: tuple[int, ...]) -> Stream:
        stream = train(flat(100, 4.0, 0.2), constant=0.693)
        stream.event(1, "modules", modules=[{"name": n, "parameters": 100} for n in LAYERS])
        layered(stream, "gradients", "gradient_rms", lambda s: [0.0] * 8, steps)
        return layered(stream, "activations", "called", lambda s: [1.0] * 8, steps)

    assert silent((20, 50, 80)).findings()["frozen-parameters"].detected_step == 80
    assert severity(silent((60, 75, 80)), "frozen-parameters") is None
    assert severity(silent((20, 80)), "frozen-parameters") is None


# -- loops, data and games ---------------------------------------------------------------------------------------------


def test_a_scheduler_that_went_before_the_run_did() -> None:
    def scheduled(counts: Callable[[int], float], horizon: float = 200.0) -> Stream:
        stream = train(flat(200), constant=2.3)
        fact = {"name": "S", "type": "OneCycleLR", "horizon": horizon, "optimizer": "", "optimizer_steps": 1,
                "steps": 0.0, "inner": False, "orphan": False, "fades": True}  # fmt: skip
        stream.event(1, "schedulers", final=False, schedulers=[fact])
        for step in (1, 2, 50, 150):
            stream.row(step, "schedule", {("scheduler_steps", "S"): counts(step)})
        stream.event(200, "exit", code=0, exception=None)
        return stream

    assert severity(scheduled(lambda s: 0.0), "scheduler-misuse") == "warning"
    assert severity(scheduled(lambda s: s // 20), "scheduler-misuse") == "warning"
    assert severity(scheduled(float), "scheduler-misuse") is None
    assert severity(scheduled(lambda s: 0.0, horizon=20.0), "scheduler-misuse") is None


def test_two_looks_in_evaluation_mode_are_enough_half_of_the_run_apart() -> None:
    def modes(off: int, looks: tuple[int, ...] = SPARSE) -> str | None:
        stream = Stream()
        for step in looks:
            stream.row(
                step, "mode", {("eval_mode", ""): float(step >= off), ("eval_mode_share", ""): float(step >= off)}
            )
        return severity(stream, "eval-mode-training")

    assert modes(64) == "warning"
    assert modes(128) is None
    assert modes(64, (1, 2, 4, 64, 100)) is None
    assert modes(4, (1, 2, 4, 8)) is None  # two looks in training mode tell little of what was meant


def test_one_batch_that_was_asked_for_again_and_again_is_told_sooner() -> None:
    def asked(times: int, batches: float) -> Stream:
        stream = Stream()
        for number, step in enumerate((1, 2, 4, *range(5, 5 + times), 32)):
            known = {
                "stale_loader_batches": batches if number > 3 else math.nan,
                "stale_loader_asked": 1.0 if number > 3 else math.nan,
            }
            values = {"batch_rows": 32.0, "distinct_batches": 1.0} | known
            stream.row(step, "samples", {(signal, ""): value for signal, value in values.items()})
        return stream

    assert severity(asked(8, 40), "stale-batch") == "warning"
    assert severity(asked(8, 40), "stale-batch", until=31) is None
    assert severity(asked(8, 2), "stale-batch") is None  # two batches: by chance once in 256


def opposing(concentration: float, losses: list[float]) -> Stream:
    stream = train(losses)
    for step in (20, 30, 50):
        values = {"energy_share": 0.9, "concentration": concentration, "lag1": -0.95, "correlation": -0.95}
        stream.row(step, "samples", {(f"opposing_{name}", ""): value for name, value in values.items()})
        stream.event(step, "opposing_samples", rows=[1, 2], losses=[], hashes=[])
    return stream


def test_outliers_that_oppose_each_other_for_long_or_at_a_price() -> None:
    smooth = falling(60, 1.0, 0.3, 0.0)
    assert severity(opposing(0.6, smooth), "opposing-outliers") == "warning"
    assert severity(opposing(0.6, smooth), "opposing-outliers", until=30) == "info"
    assert severity(opposing(0.4, smooth), "opposing-outliers") == "info"
    assert severity(opposing(0.4, [*falling(40, 1.0, 0.3, 0.0), *flat(20, 0.8, 0.0)]), "opposing-outliers") == "warning"
    # six times as much as the best, and still next to nothing
    assert severity(opposing(0.4, [*falling(40, 1.0, 0.005, 0.0), *flat(20, 0.03, 0.0)]), "opposing-outliers") == "info"


def test_a_validation_loss_on_its_way() -> None:
    def evaluated(pace: float, count: int) -> str | None:
        stream = train([2.3 * math.exp(-i / 60) + 0.01 for i in range(10 * count)], constant=2.3)
        values = [2.2 - 0.15 * i for i in range(9)]
        values += [values[-1] + pace * i for i in range(1, count - 8)]
        for number, value in enumerate(values, 1):
            stream.row(10 * number, "validation", {("validation_loss", CE): value})
        return severity(stream, "overfitting")

    assert evaluated(0.02, 22) == "warning"  # 0.26 at the end, 0.5 by then
    assert evaluated(0.02, 14) is None
    assert evaluated(0.004, 30) == "info"  # it would take much longer


def validated(training: list[float], best: float, last: float, decay: float = 0.0) -> str | None:
    """Thirty evaluations, the best of them the seventh."""
    stream = train(training, constant=1.0)
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": "AdamW", "weight_decay": decay}])
    for number in range(1, 31):
        value = best + 0.05 * (7 - number) if number < 7 else best + (last - best) * (number - 7) / 23
        stream.row(len(training) // 30 * number, "validation", {("validation_loss", CE): value})
    return severity(stream, "overfitting")


def test_a_validation_loss_that_rises_without_a_gap_that_opens_is_no_overfitting() -> None:
    fell = [1.0 * math.exp(-i / 60) + 0.01 for i in range(300)]
    assert validated(fell, 0.2, 0.6) == "warning"
    assert validated(flat(300, 0.8, 0.01), 0.2, 0.6) is None  # a term of a loss that is larger
    assert validated(flat(300, 0.1, 0.01), 0.2, 0.6) is None  # nothing was learned since
    assert validated([*fell[:80], *np.geomspace(1, 1e6, 220)], 0.2, 0.6) is None  # training went wrong


def test_what_is_lost_once_the_data_are_known_by_heart_stays_lost_without_decay() -> None:
    by_heart = [math.exp(-i / 30) for i in range(300)]
    assert validated(by_heart, 0.63, 0.675) == "warning"
    assert validated(by_heart, 0.63, 0.675, decay=0.1) == "info"
    assert validated([0.1 + loss for loss in by_heart], 0.63, 0.675) == "info"  # there is more to learn


def test_a_code_that_was_there_and_has_died_is_told_before_half_of_the_run_is_without() -> None:
    def coded(last: float) -> str | None:
        stream = train(falling(800, 3.0, 0.5))
        nats = {32: 3.1, 64: 2.4, 128: 1.3, 256: 0.53, 512: 0.2, 772: last, 773: last, 774: last}
        for step, value in nats.items():
            active = float(step < 700)
            stream.row(step, "latent", {("active_units_share", "mu"): active, ("latent_kl", "mu"): value})
        return severity(stream, "posterior-collapse")

    assert coded(0.003) == "critical"
    assert coded(0.15) == "warning"  # not gone yet, but halved by each doubling of the time


def test_a_code_that_had_been_born_and_is_silent_is_told_at_once() -> None:
    def coded(first: float, last: float, active: float = 0.3) -> str | None:
        stream = train(falling(450, 3.0, 0.5))
        for step, value in {1: first, 32: 20.0, 64: 36.0, 256: 67.0, 384: 0.3, 448: last}.items():
            share = active if step == 448 else 1.0
            stream.row(step, "latent", {("active_units_share", "mu"): share, ("latent_kl", "mu"): value})
        return severity(stream, "posterior-collapse")

    assert coded(0.1, 0.02) == "warning"
    assert coded(0.1, 0.2) is None  # it says something
    assert coded(0.1, 0.02, active=0.8) is None
    assert coded(40.0, 0.02) is None  # the noise of a start, and the quiet before a birth


@pytest.mark.parametrize(("grown", "first"), [(3.0, "kl-scale"), (8.0, "best-of:of=weight-cap:max=0.25/kl-scale")])
def test_the_weight_under_which_a_code_died_may_stay_what_it_was_when_it_said_most(grown: float, first: str) -> None:
    stream = train(falling(450, 3.0, 0.5))
    for step, value in {1: 0.1, 32: 20.0, 64: 36.0, 256: 67.0, 384: 0.3, 448: 0.02}.items():
        share = 0.3 if step == 448 else 1.0
        stream.row(step, "latent", {("active_units_share", "mu"): share, ("latent_kl", "mu"): value})
        stream.row(step, "terms", {("term_weight", "kl"): 0.25 if step <= 256 else 0.25 * grown})
    assert str(stream.findings()["posterior-collapse"].remedies[0].apply).startswith(first)


@pytest.mark.parametrize(("weight", "told"), [(lambda s: s / 100, False), (lambda s: 1 + s / 900, True)])
def test_a_loss_of_unknown_terms_may_rise_by_the_weight_of_one(weight: Callable[[int], float], told: bool) -> None:
    stream = train([10 + 0.1 * step for step in range(900)], constant=5.0)
    for step in (4, 8, 32, 64, 128, 256, 512):  # looks at terms are rare
        stream.row(step, "terms", {("term_weight", "mean"): 1.0, ("term_weight", "sum"): weight(step)})
    assert ("divergence" in stream.loud()) == told


def test_a_rise_among_noisy_validation_losses_is_plain_once_there_are_many() -> None:
    rng = np.random.default_rng(3)
    noise, falls = 0.03 * rng.normal(size=20), [2.3 * math.exp(-i / 60) + 0.01 for i in range(500)]

    def validates(rise: float) -> str | None:
        values = [2.0, 1.0, 0.7, 0.5, 0.4, *(0.41 + rise * (i + 1) / 20 + noise[i] for i in range(20))]
        stream = train(falls, constant=0.7)
        for number, value in enumerate(values, 1):
            stream.row(20 * number, "validation", {("validation_loss", "cross_entropy"): value})
        return severity(stream, "overfitting")

    assert validates(0.15) == "warning"
    assert validates(0.0) is None


def test_rates_of_another_kind_of_optimizer_are_no_rates_of_this_one() -> None:
    def changed(kind: str) -> bool:
        stream = train(falling(), lr=lambda s: 3e-3 if s < 60 else 5e-2)
        for step, type in ((1, "Adam"), (60, kind)):
            stream.event(step, "optimizers", optimizers=[{"name": "", "type": type}])
        for step, ratio in {1: 0.1, 2: 0.1, 4: 0.2, 8: 0.3, 16: 0.4, 72: 20.0}.items():
            stream.row(step, "safe_step", {("safe_ratio", ""): ratio})
        return "unsafe-step" in stream.loud()

    assert changed("Adam")
    assert not changed("SGD")


@pytest.mark.parametrize(("lost", "told"), [(20, False), (80, True)])
def test_long_steps_after_units_were_lost_did_not_lose_them(lost: int, told: bool) -> None:
    losses = [*flat(60, 2.3, 0.01), *flat(140, 2.5, 0.01)]
    stream = train(losses, constant=2.3, rate=0.02, overshoot=lambda s: 1.5 if s in (60, 70) else 0.01)
    looks = (1, 2, 4, 8, 16, *range(20, 200, 10))
    layered(stream, "activations", "saturated_share", lambda s: [0.9 * (s >= lost)] * 8, looks, LAYERS)
    assert ("learning-rate-too-high" in stream.loud()) == told


@pytest.mark.parametrize(("weight", "found"), [(1.0, True), (0.01, False), (None, False)])
def test_a_code_that_cannot_pay_is_known_at_once(weight: float | None, found: bool) -> None:
    error, nats = [0.08 - 1e-4 * i for i in range(64)], [0.02 / (1 + i) for i in range(64)]
    stream = train([e + (weight or 1.0) * n for e, n in zip(error, nats, strict=True)])
    for step in (4, 8, 16, 32, 64):
        values = {("active_units_share", "mu"): 0.0, ("latent_kl", "mu"): nats[step - 1]}
        stream.row(step, "latent", values)
        if weight is not None:
            stream.row(
                step, "terms", {("term_value", "mse_loss"): error[step - 1], ("term_value", "mean_sum"): math.nan}
            )
    assert ("posterior-collapse" in stream.loud()) == found


@pytest.mark.parametrize(
    ("nats", "told"),
    [
        ((0.06, 0.03, 0.01, 0.002, 4e-4, 2e-4), "warning"),
        ((0.06, 0.3, 0.8, 0.09, 0.03, 0.01), "warning"),  # a hump, and gone for three doublings
        ((0.06, 0.3, 0.3, 0.8, 0.09, 0.03), "info"),  # the trough before a code is born may look like this
        ((0.06, 0.03, 0.01, 0.002, 4e-4, 6e-4), "info"),  # one is being born
    ],
)
def test_a_code_that_dies_for_three_doublings_of_the_time_is_not_waited_for(nats: tuple[float, ...], told: str) -> None:
    stream = train([1.0] * 300)
    for step, value in zip((8, 16, 32, 64, 128, 256), nats, strict=True):
        stream.row(step, "latent", {("active_units_share", "mu"): 0.0, ("latent_kl", "mu"): value})
    assert severity(stream, "posterior-collapse") == told


def game(spread: Callable[[int], float], offset: Callable[[int], float]) -> str | None:
    stream = train([1.0] * 128)
    for step in SPARSE:
        values = {"generated_spread": spread(step), "generated_offset": offset(step), "generated_move": 0.3,
                  "coverage": 0.5, "precision": 0.9}  # fmt: skip
        stream.row(step, "game", {(signal, "G"): value for signal, value in values.items()})
    return severity(stream, "mode-collapse")


def test_samples_that_came_to_the_data_as_one() -> None:
    near: Callable[[int], float] = lambda s: 1.2 if s < 16 else 0.2  # noqa: E731
    assert game(lambda s: 0.003, near) == "critical"
    assert game(lambda s: 0.06 * s / 128, near) is None  # it is on its way
    assert game(lambda s: 0.003, lambda s: 1.2) is None  # not there yet


def test_two_periods_are_told_only_where_asked() -> None:
    at = np.arange(0, 400, 2)
    wave = np.sin(2 * np.pi * at / 200)
    assert strongest_cycle(at, wave) is None
    found = strongest_cycle(at, wave, 2)
    assert found is not None and found.periods == 2 and found.period == pytest.approx(200, rel=0.02)
