"""Each rule on histories in closed form: what it must see, where its edge is, and the healthy runs that look alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from histories import LAYERS, LOOKS, Stream, falling, first_cure, flat, layered, train
from surefoot.findings.levels import LossLevel

NAN, INF = math.nan, math.inf
LN10 = math.log(10)
FEW = [1, 2, 4, 8, 16, 32, 64, 128]


# --- the shared statistics ---------------------------------------------------------------------------------------


def test_levels_of_a_known_series() -> None:
    level = LossLevel()
    for step, loss in enumerate([4.0, 3.0, 2.0, 1.0, 1.0, 1.0], 1):
        level.add(step, loss)
    assert (level.first, level.recent, level.best, level.peak, level.count) == (4.0, 1.0, 1.0, 4.0, 6)
    assert level.learned and not level.negative and not level.known
    assert level.steps == 6 and LossLevel().steps == 0  # the first and the newest among them
    level.add_constant(4.0)
    assert level.known and not level.stuck
    level.add(7, NAN)
    level.add(8, INF)
    assert level.nonfinite_step == 7 and level.nonfinite_rows == 2 and level.count == 6
    level.add(9, -1.0)
    assert level.nonfinite_step is None and level.negative and not level.known


def test_levels_agree_with_numpy_on_long_runs() -> None:
    losses = np.random.default_rng(0).normal(2, 0.5, 5000)
    level = LossLevel()
    for step, loss in enumerate(losses, 1):
        level.add(step, float(loss))
        if level.refreshed and step >= 200:
            newest = np.sort(losses[step - 32 : step])
            assert level.recent == pytest.approx(np.median(newest))
            assert level.low == newest[8]
            assert level.noise == pytest.approx((newest[24] - newest[8]) / 1.349)


# --- learning rate -----------------------------------------------------------------------------------------------


def test_rate_too_high_with_harm_that_stays_is_critical() -> None:
    losses = [2.3, 3.5, 9.0, 14.0, *flat(60, 12.0, 1.0)]
    found = train(losses, overshoot=3.0, rate=0.3, constant=LN10).findings()["learning-rate-too-high"]
    assert found.severity == "critical" and found.first_step == 1 and found.detected_step == 17 and found.rank == 1
    assert found.evidence[0].value == pytest.approx(3.0, rel=1e-3)


def test_rate_too_high_warns_before_harm_and_keeps_its_first_step() -> None:
    stream = train([2.3] * 20 + [2.36] * 30 + flat(60, 12.0, 1.0), overshoot=3.0, rate=0.09, constant=LN10)
    assert stream.findings(until=30)["learning-rate-too-high"].severity == "warning"
    later = stream.findings()["learning-rate-too-high"]
    assert (later.severity, later.first_step) == ("critical", 16) and later.detected_step <= 30


def test_a_jump_of_the_first_steps_that_heals_condemns_nothing() -> None:
    """Adadelta on pixels of 0 … 255: the first step overshoots 32 times, and by the fifth all is well."""
    first = {"overshoot": lambda s: 32.0 if s < 3 else 0.1, "rate": lambda s: 0.2 if s < 3 else 0.01}
    kick = {"elasticity": lambda s: 3000.0 if s < 3 else 10.0, **first}
    losses = [0.86, 36.0, 9.0, 2.0, 0.8, *falling(60, 0.75, 0.3, 0.02)]
    for length in (4, 15, len(losses)):
        stream = train(losses[:length], constant=0.693, **kick)
        stream.event(length, "exit", code=0, exception=None)
        assert length == 4 or stream.loud() == []
    spoilt = train([0.86, 36.0, 9.0, *flat(40, 3.0, 0.1)], constant=0.693, **kick)
    assert set(spoilt.loud()) == {"exploding-gradient", "learning-rate-too-high", "divergence"}


@pytest.mark.parametrize("overshoot", [0.5, 1.2, 1.9])
def test_overshoot_below_the_bound_is_no_fault_while_the_loss_falls(overshoot: float) -> None:
    assert train(falling(), overshoot=overshoot, rate=0.05, constant=LN10).loud() == []


def test_a_first_bump_under_high_overshoot_that_is_repaid_is_no_fault() -> None:
    losses = [2.3, 2.28, 2.6, 2.4, 2.2, *falling(100, 2.0)]
    assert train(losses, overshoot=lambda s: 1.5 if s < 8 else 0.2, rate=0.1, constant=LN10).loud() == []


def test_a_loss_that_rises_under_short_steps_is_not_blamed_on_the_rate() -> None:
    curriculum = [*falling(80, 2.3, 0.05), *falling(120, 9.0, 0.3)]
    assert train(curriculum, overshoot=0.02, rate=0.01, constant=LN10).loud() == []


def test_nan_after_overshoot_is_because_of_the_rate() -> None:
    stream = train([2.3, 40.0, NAN, NAN, NAN], overshoot=lambda s: 1.5 if s < 2 else 500, rate=1.0, constant=LN10)
    found = stream.findings()
    assert found["learning-rate-too-high"].rank == 1
    assert found["non-finite"].because_of == "learning-rate-too-high"


def test_crushed_model_that_scores_no_better_than_a_constant() -> None:
    losses = [2.3, 3.6, 4.0, 3.0, 2.6, *flat(150, 2.32, 0.03)]
    high = train(losses, rate=lambda s: 0.4 if s < 9 else 0.005, overshoot=0.05, constant=LN10)
    assert "learning-rate-too-high" in high.loud()
    plateau = train(flat(150, 2.32, 0.03), rate=0.02, overshoot=0.05, constant=LN10)
    assert plateau.loud() == []


def test_negative_and_noisy_policy_losses() -> None:
    rng = np.random.default_rng(0)
    policy = list(rng.normal(0, 1, 300) * np.linspace(1, 30, 300))
    assert train(policy, rate=0.02, overshoot=5.0).loud() == []
    growing_returns = list(np.linspace(10, 150, 300) * (1 + 0.3 * rng.normal(size=300)))
    assert train(growing_returns, rate=0.02, overshoot=0.05).loud() == []


def test_adversaries_that_trade_wins() -> None:
    at = np.arange(400)
    rng = np.random.default_rng(1)
    generator = 0.7 + 4 * (1 - np.exp(-at / 60)) + np.sin(at / 9) + 0.3 * rng.normal(size=400)
    critic = 0.1 + 1.3 * np.exp(-at / 60) + 0.1 * np.abs(rng.normal(size=400))
    stream = Stream()
    for name, losses in (("G", generator), ("D", critic)):
        train(list(losses), rate=0.01, overshoot=0.02, name=name, stream=stream)
    assert stream.loud() == []


@pytest.mark.parametrize("seed", range(3))
def test_rate_too_low(seed: int) -> None:
    stream = train(flat(120, 2.33, 0.03, seed), rate=5e-6, overshoot=1e-6, lr=1e-6, constant=LN10)
    found = stream.findings()["learning-rate-too-low"]
    assert found.severity == "warning" and 48 <= found.detected_step <= 60
    assert 'group["lr"] *= 2000\n' in found.remedies[0].how  # 120 steps of 1/120 are the weights' own size
    promising = train(flat(2000, 2.33, 0.03, seed), rate=5e-6, overshoot=5e-5, lr=1e-6, constant=LN10)
    assert 'group["lr"] *= 200\n' in promising.findings()["learning-rate-too-low"].remedies[0].how


@pytest.mark.parametrize(("promise", "told"), [(2e-5, True), (2e-4, False)])
def test_a_warm_up_that_leads_nowhere_in_as_many_steps_again(promise: float, told: bool) -> None:
    stream = train(flat(200, 2.33, 0.03), rate=5e-6, overshoot=promise, lr=lambda s: 1e-8 * s, constant=LN10)
    assert ("learning-rate-too-low" in stream.loud()) == told


@pytest.mark.parametrize(("fades", "told"), [(True, True), (False, False)])
def test_a_rate_that_has_come_down_from_its_peak_is_no_warm_up(fades: bool, told: bool) -> None:
    rate = (lambda s: 1e-7 * min(s / 60, 60 / s) ** 0.5) if fades else (lambda s: 1e-9 * s)
    stream = train(flat(300, 23.0, 0.3), rate=2e-5, overshoot=2e-5, lr=rate, constant=0.4)  # its scale is not known
    assert ("learning-rate-too-low" in stream.loud()) == told


def test_what_is_worse_than_a_constant_has_learned_nothing_yet() -> None:
    # logits that start large: the loss falls by a tenth, and is not yet at a constant's
    given = {"rate": 8e-6, "overshoot": 1.2e-4, "lr": 1e-6, "constant": LN10}
    assert "learning-rate-too-low" in train(falling(120, 2.7, 2.42), **given).findings()
    assert train(falling(120, 2.7, 2.1), **given).loud() == []


@pytest.mark.parametrize(
    "changed",
    [
        {"rate": 5e-5},  # a tenth of a good rate
        {"overshoot": 1e-3},  # each step promises a five-hundredth of the loss
        {"lr": lambda s: 1e-6 * s},  # warming up from zero
        {"elasticity": 0.01},  # it is the gradient that is missing
        {"elasticity": lambda s: 1.0 + s / 20},  # a plateau about to end
        {"constant": 2.33 * 3},  # a fine-tune begins far below a constant's loss
        {"losses": falling(120, 2.33, 1.9)},
    ],
)
def test_runs_that_only_look_like_a_rate_too_low(changed: dict) -> None:
    given = {"losses": flat(120, 2.33, 0.03), "rate": 5e-6, "overshoot": 1e-6, "lr": 1e-6, "constant": LN10} | changed
    losses = given.pop("losses")
    assert train(losses, **given).loud() == []


# --- divergence --------------------------------------------------------------------------------------------------


def test_divergence_of_a_known_loss() -> None:
    losses = [*falling(100, 2.3, 0.3), *np.geomspace(0.4, 30, 60), *flat(40, 30, 2.0)]
    found = train(losses, constant=LN10).findings()["divergence"]
    assert found.severity == "critical" and 130 < found.detected_step < 165


def test_divergence_of_an_unknown_loss_needs_orders_of_magnitude() -> None:
    td_error = [*flat(50, 1.0, 0.2), *np.geomspace(1, 80, 200)]  # grows with the values, as it should
    assert train(td_error).loud() == []
    runaway = [*flat(50, 1.0, 0.2), *np.geomspace(1, 1e5, 100)]
    assert "divergence" in train(runaway).loud()


@pytest.mark.parametrize(("policy", "told"), [(True, False), (False, True)])
def test_what_a_critic_has_to_learn_grows_with_what_a_policy_wins(policy: bool, told: bool) -> None:
    stream = train([*flat(50, 0.005, 1e-4), *flat(150, 1.5, 0.2)], constant=1.0)
    if policy:
        stream.row(1, "policy", {("policy_entropy", ""): 0.69})
    assert ("divergence" in stream.loud()) == told


def test_a_first_loss_of_zero_is_no_scale() -> None:
    game = [0.0, *(math.sin(step / 33) * min(1.0, step / 16) for step in range(1, 600))]  # a critic that began at 0
    assert train(game).loud() == []


def on_one_batch(losses: list[float], distinct: int = 1) -> Stream:
    stream = train(losses, constant=LN10)
    for step in range(8, len(losses), 8):
        stream.row(step, "samples", {("distinct_batches", ""): distinct, ("batch_rows", ""): 400})
    return stream


def test_two_orders_of_magnitude_lost_on_one_batch() -> None:
    noise = np.random.default_rng(0).lognormal(sigma=1.0, size=600)
    fit = [2.3 * 0.9**i for i in range(160)]
    lost = fit + list(0.05 * noise[:300])
    found = on_one_batch(lost).findings()["divergence"]
    assert found.severity == "warning" and 160 < found.first_step < 200
    assert on_one_batch(lost, distinct=9).loud() == []  # other batches may be harder
    back = fit + list(0.05 * noise[:40]) + [1e-4] * 300
    assert on_one_batch(back).loud() == []


def test_a_spike_that_ends_is_no_divergence() -> None:
    losses = [*falling(100, 2.3, 0.3), *flat(6, 40.0, 3.0), *falling(100, 1.0, 0.3)]
    assert train(losses, constant=LN10).loud() == []


# --- numbers -----------------------------------------------------------------------------------------------------


def test_nan_loss_names_the_first_culprit() -> None:
    stream = train([*falling(50), NAN, NAN], constant=LN10)
    stream.event(51, "nonfinite", kind="activation", where="encoder.log", operation="log", value="-inf")
    found = stream.findings()["non-finite"]
    assert found.severity == "critical" and found.first_step == 51 and found.where == ("encoder.log",)
    assert "log" in found.cause and found.because_of is None
    assert first_cure(found) == "safe-domain"


@pytest.mark.parametrize(
    ("data", "float16", "apply"),
    [
        ({"kind": "activation", "operation": "softmax", "value": "nan"}, False, "safe-softmax"),
        ({"kind": "activation", "operation": "addmm", "value": "inf"}, True, "float32"),
        ({"kind": "gradient", "operation": "", "value": "nan"}, False, "safe-domain"),
        ({"kind": "activation", "operation": "exp", "value": "inf"}, False, "safe-domain"),
        ({"kind": "activation", "operation": "addmm", "value": "inf"}, False, "skip-bad-batch"),
    ],
)
def test_the_first_cure_answers_the_first_culprit(data: dict, float16: bool, apply: str) -> None:
    stream = train([*falling(50), NAN, NAN], constant=LN10)
    if float16:
        layered(stream, "activations", "activation_peak", lambda s: [0.1] * 8, [1, 2, 4])
    stream.event(51, "nonfinite", where="layers.3", **data)
    assert first_cure(stream.findings()["non-finite"]) == apply


def test_unknown_place_stays_empty() -> None:
    assert train([*falling(50), NAN], constant=LN10).findings()["non-finite"].where == ()


def test_a_single_infinite_loss_is_a_warning_and_two_are_critical() -> None:
    assert train([*falling(50), INF, *falling(20, 0.3)]).findings()["non-finite"].severity == "warning"
    assert train([*falling(50), INF, INF]).findings()["non-finite"].severity == "critical"


def test_loss_scaling_overflows_are_an_info() -> None:
    stream = train(falling(60), constant=LN10)
    layered(stream, "gradients", "gradient_nonfinite", lambda s: [1.0] * 8, [1, 2, 4, 30])
    assert stream.findings()["non-finite"].severity == "info" and stream.loud() == []


def test_weights_that_became_nan() -> None:
    stream = train(falling(20), constant=LN10)
    broken = lambda s: s >= 10  # noqa: E731
    layered(stream, "weights", "weight_rms", lambda s: [0.1] * 3 + [NAN if broken(s) else 0.1] * 5, [1, 4, 8, 10])
    assert stream.loud() == []  # NaN alone says that nothing was measured, as where another optimiser stepped
    layered(stream, "gradients", "gradient_nonfinite", lambda s: [0.0] * 3 + [float(broken(s))] * 5, [1, 4, 8, 10])
    found = stream.findings()["non-finite"]
    assert found.severity == "critical" and found.where == (LAYERS[3],) and found.first_step == 10


def test_a_row_without_a_loss_is_no_nan_loss() -> None:
    stream = train(falling(60), constant=LN10)
    for step in (10, 20):
        stream.row(step, "step", {("loss", ""): NAN, ("learning_rate", ""): NAN})
    assert stream.loud() == []


# --- gradient flow -----------------------------------------------------------------------------------------------


def gradients(bits: float, losses: list[float] | None = None, updates: float | None = None, n: int = 8) -> Stream:
    """Geometric over depth: the first layer has 2**bits of what the last one has."""
    stream = train(losses or flat(150), constant=LN10, rate=0.01)
    names = [f"layers.{i}" for i in range(n)]
    line = [2.0 ** (bits * (1 - i / (n - 1))) for i in range(n)]
    layered(stream, "gradients", "gradient_rms", lambda s: [1e-2 * v for v in line], FEW, names)
    follow = [2.0 ** ((bits if updates is None else updates) * (1 - i / (n - 1))) for i in range(n)]
    layered(stream, "weights", "update_rms", lambda s: [1e-4 * v for v in follow], FEW, names)
    layered(stream, "weights", "weight_rms", lambda s: [0.1] * n, FEW, names)
    return stream


def test_vanishing_gradient_by_depth() -> None:
    found = gradients(-40).findings()["vanishing-gradient"]
    assert found.severity == "critical" and found.first_step == 1 and found.detected_step == 4
    assert found.where[0] == "layers.0" and "layers.7" not in found.where
    assert gradients(-20).findings()["vanishing-gradient"].severity == "warning"


def test_gradients_that_decay_and_do_no_harm() -> None:
    assert gradients(-9, losses=falling(150)).loud() == []  # three sigmoid layers
    assert gradients(-16, updates=0).findings(until=60) == {}  # Adam divides the magnitude out
    assert gradients(-16, losses=falling(150)).loud() == []  # it learns
    assert gradients(-40, n=3).loud() == []  # three layers are no depth


def test_deeper_than_a_network_trains_and_nothing_learned_for_long() -> None:
    found = gradients(-9).findings()["vanishing-gradient"]
    assert found.severity == "warning" and 48 <= found.detected_step < 128
    assert gradients(-4.5).findings(until=100) == {}
    assert found.evidence[0].threshold == pytest.approx(found.evidence[0].value * 2**9 * math.exp(-3), rel=0.6)
    assert gradients(-4).loud() == []  # within six times the distance over which a gradient decays
    assert gradients(-9, updates=0).loud() == []  # Adam divides the magnitude out


def test_one_odd_layer_is_no_decay_over_depth() -> None:
    stream = train(flat(150), constant=LN10, rate=0.01)
    layered(stream, "gradients", "gradient_rms", lambda s: [1e-9] + [1e-2] * 7, FEW)
    assert stream.loud() == []


def test_embeddings_and_norms_are_left_out_of_the_depth() -> None:
    stream = gradients(-40)
    modules = [{"name": n, "type": "Embedding", "parameters": 1, "depth": 0} for n in LAYERS[:6]]
    stream.event(1, "modules", modules=modules, root="")
    assert stream.loud() == []


def test_exploding_signal_at_the_start() -> None:
    stream = train(flat(40, 5000.0, 100.0), constant=LN10, overshoot=0.2, elasticity=500.0)
    layered(stream, "activations", "activation_rms", lambda s: [2.0 ** (2 * i) for i in range(8)], FEW)
    found = stream.findings()["exploding-gradient"]
    assert found.first_step == 1 and found.detected_step == 1 and found.rank == 1


def test_exploding_gradient_toward_the_input() -> None:
    stream = train(flat(40, 2.5), constant=LN10, overshoot=40.0, elasticity=20000.0)
    layered(stream, "gradients", "gradient_rms", lambda s: [2.0 ** (14 - 2 * i) for i in range(8)], FEW)
    assert stream.findings(until=1)["exploding-gradient"].severity == "warning"
    even = [2.0 ** (2 * i - 14) for i in range(8)]  # weights that are the smaller the larger their gradients: a CNN's
    layered(stream, "weights", "weight_rms", lambda s: even, FEW)
    assert "exploding-gradient" not in stream.findings(until=1)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, True),
        ({"where": LAYERS[0]}, False),  # it may have been given what is too large
        ({"value": "nan"}, False),
        ({"operation": "exp"}, False),
        ({"kind": "loss", "where": ""}, False),
        ({"step": 2}, False),  # a step may have made the weights so
        ({"given": 2.0**65}, False),
        ({"peak": 0.1}, False),  # float16
    ],
)
def test_a_signal_that_leaves_float32_before_the_first_step(changed: dict, told: bool) -> None:
    data = {"kind": "activation", "where": LAYERS[5], "operation": "view", "value": "inf", "dtype": ""} | changed
    step, given, peak = data.pop("step", 1), data.pop("given", 5.0), data.pop("peak", None)
    stream = train([NAN] * 40)
    stream.event(1, "modules", modules=[{"name": n, "type": "Linear", "depth": i} for i, n in enumerate(LAYERS)])
    stream.event(step, "nonfinite", **data)
    stream.row(1, "inputs", {("input_max", LAYERS[0]): given})
    if peak is not None:
        layered(stream, "activations", "activation_peak", lambda s: [peak] * 8, [1])
    layered(stream, "weights", "weight_rms", lambda s: [INF] * 8, [2])
    assert ("exploding-gradient" in stream.findings()) == told
    if told:
        found = stream.findings()["exploding-gradient"]
        assert (found.rank, found.severity, found.detected_step) == (1, "critical", 1)
        assert stream.findings()["non-finite"].because_of == "exploding-gradient"


def test_of_losses_that_were_never_numbers_nothing_was_rounded() -> None:
    stream = train([NAN] * 300)
    for step in range(1, 300, 8):
        stream.row(step, "logits", {("softmax_rounding_share", "cross_entropy"): 1.0})
    assert "softmax-collapse" not in stream.findings()


def test_large_logits_of_a_contrastive_loss_do_not_explode() -> None:
    assert train(falling(150, 0.7, 0.07), constant=4.16, overshoot=0.45, elasticity=140.0, rate=0.01).loud() == []


def test_gradient_that_jumps_out_of_its_own_past() -> None:
    kick = {"elasticity": lambda s: 1.0 if s < 150 else 2000.0, "overshoot": lambda s: 0.01 if s < 150 else 4.0}
    stream = train([*falling(149, 2.3, 2.0), *flat(40, 4.0, 0.2)], constant=LN10, rate=0.02, **kick)
    found = stream.findings()["exploding-gradient"]
    assert 150 <= found.first_step <= found.detected_step <= 170
    silent = {"elasticity": 0.0, "overshoot": 2.0}  # a gradient of nothing, and nothing before it
    assert train(flat(200, 1e-30), constant=LN10, **silent).loud() == []
    once = {"elasticity": lambda s: 2000.0 if s == 150 else 1.0, "overshoot": 0.01}
    assert train(falling(200), constant=LN10, **once).loud() == []


@pytest.mark.parametrize(("before", "policy", "told"), [(1.0, True, False), (1e-3, True, True), (1.0, False, True)])
def test_a_policys_gradient_that_comes_back_has_not_jumped(before: float, policy: bool, told: bool) -> None:
    """Where all answers to a question score alike there is none; the next question's is as large as the first's."""
    stream = train(
        flat(200),
        rate=0.02,
        elasticity=lambda s: before if s < 40 else 1.0 if s >= 150 else 1e-3,
        overshoot=lambda s: 0.01 if s < 150 else 2.0,
    )
    for step in (1, 2, 100, 150) if policy else ():
        stream.row(step, "policy", {("zero_advantage_share", ""): 1.0 if step == 100 else 0.5})
    assert ("exploding-gradient" in stream.findings()) == told


# --- units -------------------------------------------------------------------------------------------------------


def units(signal: str, share, losses: list[float]) -> Stream:
    return layered(train(losses, constant=LN10, rate=0.01), "activations", signal, share, FEW)


def test_dead_from_the_start() -> None:
    stream = units("dead_share", lambda s: [0.0, 1.0, *[0.1] * 6], flat(150))
    found = stream.findings()["dead-units"]
    assert (found.severity, found.where, found.first_step, found.detected_step) == ("critical", (LAYERS[1],), 1, 4)


def test_half_dead_at_depth_is_what_symmetric_weights_give() -> None:
    assert units("dead_share", lambda s: [0.1, *[0.6] * 7], flat(150)).loud() == []


def test_units_that_die_later_count_where_nothing_is_learned() -> None:
    dying = lambda s: [0.05 if s < 20 else 0.95] * 8  # noqa: E731
    assert units("dead_share", dying, flat(150)).findings()["dead-units"].first_step == 32
    sparse = units("dead_share", dying, falling(150))
    assert sparse.findings()["dead-units"].severity == "info" and sparse.loud() == []


@pytest.mark.parametrize("signal", ["dead_share", "saturated_share"])
@pytest.mark.parametrize(
    ("first", "later", "rises_to", "told"),
    [
        (0.05, 0.6, 1.0, True),  # 2.3 to 0.2, and back to 1.0
        (0.05, 0.6, 0.5, False),  # a seventh of the gain
        (0.05, 0.4, 1.0, False),
        (0.3, 0.6, 1.0, False),  # as many as at the start, nearly
    ],
)
def test_units_that_are_lost_with_what_was_learned(
    signal: str, first: float, later: float, rises_to: float, told: bool
) -> None:
    losses = [*falling(150, 2.3, 0.2), *flat(100, rises_to)]
    stream = train(losses, constant=LN10, rate=0.01)
    layered(stream, "activations", signal, lambda s: [first if s < 150 else later] * 8, LOOKS[:60])
    assert (("dead-units" if signal == "dead_share" else "saturated-units") in stream.loud()) is told


def test_saturated() -> None:
    assert units("saturated_share", lambda s: [0.7] * 8, falling(150)).loud() == ["saturated-units"]
    later = lambda s: [0.0 if s < 20 else 0.72] * 8  # noqa: E731
    assert units("saturated_share", later, falling(150)).loud() == []
    assert units("saturated_share", lambda s: [NAN] * 8, flat(150)).loud() == []


def test_units_that_were_lost_at_the_start_are_cured_there() -> None:
    def first(signal: str, share) -> str:
        return units(signal, share, flat(150)).findings()[signal.replace("_share", "-units")].remedies[0].name

    late = lambda s: [0.0 if s < 20 else 0.95] * 8  # noqa: E731
    assert first("saturated_share", lambda s: [0.95] * 8) == "surefoot.init.critical_"
    assert first("saturated_share", late) == "lower learning rate"
    assert first("dead_share", lambda s: [0.95] * 8) == "surefoot.init.zero_bias_"
    assert first("dead_share", late) == "torch.nn.LeakyReLU in place of torch.nn.ReLU"


def outputs(signals: dict[str, Callable[[int], float]], steps: int = 200, losses: list[float] | None = None) -> Stream:
    stream = train(losses or falling(steps), constant=LN10)
    for step in [*FEW, *range(136, steps, 16)]:
        stream.row(step, "samples", {(signal, ""): value(step) for signal, value in signals.items()})
    return stream


def test_targets_beyond_the_range_of_the_last_activation() -> None:
    def found(share: Callable[[int], float]) -> list[str]:
        return outputs({"saturated_error_share": share}).loud()

    assert found(lambda s: 0.15) == found(lambda s: 0.0 if s % 32 == 8 or s < 100 else 0.15) == ["saturated-units"]
    assert found(lambda s: 0.08) == found(lambda s: 0.15 if s < 60 else 0.0) == found(lambda s: NAN) == []
    assert outputs({"saturated_error_share": lambda s: 0.15}, 60).loud() == []  # too few looks


def test_outputs_that_are_dead() -> None:
    def found(dead: Callable[[int], float], wrong: float) -> list[str]:
        stream = outputs({"dead_output_share": lambda s: wrong})
        looks = [*FEW, *range(136, 200, 16)]
        return layered(stream, "activations", "dead_share", lambda s: [*[0.0] * 7, dead(s)], looks).loud()

    assert found(lambda s: 0.125, 0.05) == ["dead-units"]
    assert found(lambda s: 0.125, 0.01) == []  # such as hardly ever should be on
    assert found(lambda s: 0.05, 0.05) == found(lambda s: 0.0 if s == 152 else 0.3, 0.1) == []


# --- wiring ------------------------------------------------------------------------------------------------------


def wiring(shares: dict[str, list[float]], losses: list[float] | None = None) -> Stream:
    stream = Stream()
    for seed, (name, values) in enumerate(shares.items()):
        train(losses or falling(150, seed=seed), name=name, stream=stream)
        for step, value in zip(FEW, values, strict=False):
            stream.row(step, "wiring", {("stale_gradient_share", name): value})
    return stream


def test_missing_zero_grad() -> None:
    found = wiring({"": [NAN, 1, 1, 1, 1]}).findings()["missing-zero-grad"]
    assert (found.severity, found.first_step, found.detected_step) == ("warning", 1, 8)
    assert wiring({"": [NAN, 1, 1]}).loud() == []
    assert wiring({"": [NAN, 0, 1, 0, 1, 0]}).loud() == []


def test_gradients_a_critic_leaves_behind_and_clears_are_no_fault() -> None:
    assert wiring({"D": [NAN, 1, 1, 1, 1], "G": [0] * 5}).loud() == []
    assert wiring({"D": [NAN, 1, 1, 1, 1], "G": [NAN, 1, 1, 1, 1]}).loud() == ["missing-zero-grad"]
    # of one backward for both nothing is left by another
    found = wiring({"proxies": [NAN, 1, 1, 1, 1], "net": [0] * 5}, falling(150)).findings()["missing-zero-grad"]
    assert found.where == ("proxies",)


@pytest.mark.parametrize(("together", "told"), [(0, ["missing-zero-grad"]), (1, [])])
def test_the_optimizer_of_an_earlier_stage_takes_no_turns(together: int, told: list[str]) -> None:
    head, both = [0.0] * (3 + together) + [NAN] * 5, [NAN] * 3 + [1.0] * 5
    assert wiring({"head": head, "both": both}).loud() == told


def detached(share: list[float], update: list[float], called: list[float], weight=lambda s: 0.1) -> Stream:
    stream = train(falling(150))
    layered(stream, "gradients", "gradient_share", lambda s: share, FEW)
    layered(stream, "weights", "update_rms", lambda s: update, FEW)
    layered(stream, "weights", "weight_rms", lambda s: [weight(s) + i / 100 for i in range(8)], FEW)
    layered(stream, "activations", "called", lambda s: called, FEW)
    sizes = [{"name": n, "type": "Linear", "parameters": 100, "depth": i} for i, n in enumerate(LAYERS)]
    stream.event(1, "modules", modules=sizes, root="Net")
    return stream


def test_detached_parameters() -> None:
    few = detached([0, 0, *[1] * 6], [0, 0, *[1e-4] * 6], [1] * 8).findings()["detached-parameters"]
    assert (few.severity, few.where, few.first_step) == ("warning", LAYERS[:2], 1)
    most = detached([*[0] * 6, 1, 1], [*[0] * 6, 1e-4, 1e-4], [1] * 8)
    assert most.findings()["detached-parameters"].severity == "critical"


@pytest.mark.parametrize(
    ("most", "missed", "severity"), [(True, 0.0, "critical"), (False, 0.0, "info"), (True, 2.0, "info")]
)
def test_parameters_of_no_module_that_the_loss_does_not_depend_on(most: bool, missed: float, severity: str) -> None:
    """What the model is called with are copies of them: most of what is to learn, or a part that may be for later."""
    cut = [0.0] * 6 + [1.0] * 2 if most else [0.0] * 2 + [1.0] * 6
    stream = detached(cut, [1e-4 * share for share in cut], [NAN] * 8)
    free = [{"name": n, "type": "Parameter", "parameters": 100, "depth": i} for i, n in enumerate(LAYERS)]
    stream.event(1, "modules", modules=free, root="")
    for step in FEW:
        stream.row(step, "wiring", {("missed_parameters", ""): missed})
    found = stream.findings()["detached-parameters"]
    assert found.severity == severity and "run in the forward" not in found.cause


def test_no_parameter_gets_a_gradient() -> None:
    cut = detached([0.0] * 8, [0.0] * 8, [NAN] * 8).findings()["detached-parameters"]
    assert (cut.severity, cut.where, cut.detected_step) == ("critical", LAYERS[:8], FEW[2])
    searched = detached([0.0] * 8, [1e-3] * 8, [1.0] * 8)  # without gradients, by an optimiser that needs none
    assert searched.loud() == []


def test_an_optimiser_that_steps_without_a_gradient() -> None:
    def game(norm: float) -> Stream:
        stream = detached([0, 0, *[1] * 6], [0, 0, *[1e-4] * 6], [0, 0, *[1] * 6])
        for step in FEW:
            stream.row(step, "gradients", {("gradient_norm", "G"): norm, ("gradient_norm", "D"): 1.0})
        return stream

    assert game(0.0).findings()["detached-parameters"].severity == "warning"
    assert "detached-parameters" not in game(0.1).loud()


def test_a_copy_of_a_layer_that_learns_is_its_target() -> None:
    def twins(first: float) -> Stream:
        stream = detached([0, *[1] * 7], [0, *[1e-4] * 7], [1] * 8)
        return layered(stream, "weights", "weight_rms", lambda s: [first, 0.3, *[0.4] * 6], FEW)

    assert twins(0.3).loud() == []
    assert twins(0.31).loud() == ["detached-parameters"]


def test_a_player_that_is_cut_off_runs_in_turns_only() -> None:
    def game(called) -> Stream:
        stream = train(falling(150), name="D", stream=train(flat(150), name="G"))
        layered(stream, "gradients", "gradient_share", lambda s: [0, 0, *[1] * 6], FEW)
        layered(stream, "weights", "update_rms", lambda s: [0, 0, *[1e-4] * 6], FEW)
        layered(stream, "weights", "weight_rms", lambda s: [0.1 + i / 100 for i in range(8)], FEW)
        return layered(stream, "activations", "called", called, FEW)

    turns = game(lambda s: [float(s % 4 == 0)] * 2 + [1.0] * 6)
    assert turns.findings()["detached-parameters"].severity == "warning"
    assert "detached-parameters" not in game(lambda s: [0.0, 0.0] + [1.0] * 6).loud()


@pytest.mark.parametrize(
    ("share", "update", "called", "weight"),
    [
        ([NAN, NAN, *[1] * 6], [NAN, NAN, *[1e-4] * 6], [1] * 8, lambda s: 0.1),  # frozen
        ([0, 0, *[1] * 6], [NAN, NAN, *[1e-4] * 6], [1] * 8, lambda s: 0.1),  # no optimiser holds it
        ([0, 0, *[1] * 6], [0, 0, *[1e-4] * 6], [1] * 8, lambda s: 0.1 + s / 1e3),  # a target network
        ([0, 0, *[1] * 6], [0, 0, *[1e-4] * 6], [0, 0, *[1] * 6], lambda s: 0.1),  # it does not run
    ],
)
def test_modules_without_gradient_that_are_meant_so(share, update, called, weight) -> None:
    assert detached(share, update, called, weight).loud() == []


def test_optimizer_misses_parameters() -> None:
    stream = train(falling(150))
    for step in FEW:
        stream.row(step, "wiring", {("missed_parameters", ""): 2.0})
        stream.event(step, "missed", parameters=["head.weight", "head.bias"])
    found = stream.findings()["optimizer-misses-parameters"]
    assert (found.severity, found.where, found.detected_step) == ("warning", ("head",), 4)
    assert "head.weight" in found.cause
    stage = train(falling(150))
    for step in FEW:
        stage.row(step, "wiring", {("missed_parameters", ""): 2.0})
        stage.event(step, "missed", parameters=["stem.weight", "stem.bias"], left=True)
    assert stage.findings()["optimizer-misses-parameters"].severity == "info"
    thawed = train(falling(150))
    thawed.event(3, "optimizers", optimizers=[{"name": "", "defaults": {"lr": 1e-3}}])
    for step in FEW:
        thawed.row(step, "wiring", {("missed_parameters", ""): 2.0 if step > 16 else 0.0})
        thawed.event(step, "missed", parameters=["stem.weight", "stem.bias"], left=True)
    assert thawed.findings()["optimizer-misses-parameters"].severity == "warning"
    phases = train(falling(150))  # of two players, the one that rests is the one that holds them
    for step in FEW:
        phases.row(step, "wiring", {("missed_parameters", ""): 2.0 if step > 16 else 0.0})
        phases.event(step, "missed", parameters=["stem.weight", "stem.bias"], left=True, rests_since=15)
    assert phases.findings()["optimizer-misses-parameters"].severity == "info"
    by_hand = train(falling(150))
    for step in FEW:
        by_hand.row(step, "wiring", {("missed_parameters", ""): 2.0 if step < 4 else 0.0})
    assert by_hand.loud() == []


# --- double softmax ----------------------------------------------------------------------------------------------


def logits(loss: str, before: float, error: float = 3.0, nonnegative: float = 0.5, classes: float = 10) -> Stream:
    stream = train(falling(150, 2.3, 1.6), constant=LN10)
    for step in FEW:
        values = {"row_sum_error": error, "nonnegative_share": nonnegative, "num_classes": classes}
        stream.row(step, "logits", {(k, loss): v for k, v in (values | {"activation_before": before}).items()})
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        logits("cross_entropy", 1),
        logits("cross_entropy", 0, error=1e-6, nonnegative=1.0),
        logits("cross_entropy", 3),
        logits("log_softmax", 1),
        logits("nll_loss", 1, error=1e-6, nonnegative=1.0),
        logits("binary_cross_entropy_with_logits", 3, NAN, 1.0, 1),
    ],
)
def test_double_softmax(stream: Stream) -> None:
    assert stream.loud() == ["double-softmax"]
    assert stream.findings()["double-softmax"].detected_step == 2


@pytest.mark.parametrize(
    "stream",
    [
        logits("cross_entropy", 0),
        logits("log_softmax", 0),
        logits("cross_entropy", 2),  # log-softmax twice is log-softmax
        logits("nll_loss", 2),
        logits("binary_cross_entropy", 3, NAN, 1.0, 1),
        logits("binary_cross_entropy_with_logits", 0, NAN, 1.0, 1),
        logits("cross_entropy", 0, error=0.4, nonnegative=1.0),  # ReLU logits
    ],
)
def test_right_inputs_of_a_loss(stream: Stream) -> None:
    assert stream.loud() == []


def test_the_floor_of_a_doubled_softmax() -> None:
    assert f"{math.log1p(9 / math.e):.3g}" in logits("cross_entropy", 1).findings()["double-softmax"].cause


def test_every_look_schedule_gives_the_same_verdict_on_a_healthy_run() -> None:
    for looks in ([1], LOOKS, range(1, 300), [1, 2, 4, 8, 100, 200]):
        assert train(falling(300), looks=looks, constant=LN10).loud() == []


def test_a_blow_up_before_the_first_look_is_still_the_rate() -> None:
    losses = [2.3, 20.0, 900.0, 400.0, 90.0, 30.0, *flat(60, 2.6, 0.05)]
    stream = train(losses, looks=[10, 20, 30, 40], rate=1e-3, overshoot=1e-3, constant=LN10)
    found = stream.findings()["learning-rate-too-high"]
    assert (found.rank, found.first_step, found.detected_step) == (1, 1, 17)
    spiky = [2.3, 2.2, 2.1, 2.0, 40.0, *falling(100, 2.0, 0.2)]  # one bad batch, and it learns
    assert train(spiky, looks=[10, 20, 30, 40], constant=LN10).loud() == []


# --- stages and leaps --------------------------------------------------------------------------------------------


def test_a_step_at_a_hundredfold_rate_is_found_by_its_rate_and_the_loss_after_it() -> None:
    def rate(step: int) -> float:
        return 0.5 if step == 41 else 5e-3

    hurt = [*flat(41, 3.2, 0.05), 8.4, 7.3, 6.4, 5.6, 5.2, *flat(60, 3.2, 0.05)]
    found = train(hurt, lr=rate, constant=3.4).findings()["unsafe-step"]
    assert (found.first_step, found.detected_step, found.severity) == (41, 44, "warning")
    unharmed = train(flat(100, 3.2, 0.05), lr=rate, constant=3.4)
    fit = [*falling(20, 3.2, 1e-3), *flat(21, 1e-3, 5e-5), *[4e-3] * 5, *flat(60, 1e-3, 5e-5)]
    for losses, told in ((hurt, True), (fit, False)):  # fivefold over twenty rows, not twofold in nine
        assert ("unsafe-step" in train(losses, lr=lambda s: 5e-3 * 1.08**s, constant=3.4).findings()) == told
    restarted = train(hurt, lr=lambda s: 5e-3 if s % 20 == 1 else 1e-4, constant=3.4)
    assert "unsafe-step" not in unharmed.findings() | restarted.findings()


def test_a_stage_with_other_parameters_is_measured_against_its_own_beginning() -> None:
    stream = train([*falling(200, 0.7, 0.01, 0.003), *falling(200, 5.5, 4.0, 0.1)], constant=0.693)
    for step, parameters in ((1, 2545), (201, 780)):
        stream.event(step, "optimizers", optimizers=[{"name": "", "type": "Adam", "parameters": parameters}])
    assert stream.loud() == []


@pytest.mark.parametrize(("found", "told"), [(12.0, []), (0.004, ["divergence"])])
def test_a_loss_that_a_new_optimiser_finds_is_not_of_its_making(found: float, told: list[str]) -> None:
    """What was learned is adapted to other data; or the new steps themselves lose it."""
    stream = train([*falling(120, 1.6, 0.003, 0.001), found, *falling(200, 12.0, 4.0, 0.2)], constant=1.6)
    for step, kind in ((1, "Adam"), (121, "AdamW")):
        stream.event(step, "optimizers", optimizers=[{"name": "", "type": kind, "parameters": 900}])
    assert stream.loud() == told


@pytest.mark.parametrize(
    ("found", "renewed", "anew"), [(2e-13, True, True), (2e-13, False, False), (0.01, True, False)]
)
def test_a_loss_that_a_new_optimiser_finds_orders_lower_is_another(found: float, renewed: bool, anew: bool) -> None:
    """Targets in another unit: what the loss before was says nothing of what is left of this one."""
    stream = train([*falling(120, 1.6, 0.3, 0.001), *flat(60, found, 0.0)])
    for step in (1, 121)[: 1 + renewed]:
        stream.event(step, "optimizers", optimizers=[{"name": "", "type": "Adam", "parameters": 900}])
    history = stream.engine().history
    assert history.losses[""].first == (pytest.approx(found, rel=0.5) if anew else pytest.approx(1.6, rel=0.1))


@pytest.mark.parametrize(("level", "gentler", "told"), [(2.3, 1e-5, True), (2.3, 0.1, False), (0.2, 1e-5, False)])
def test_a_stage_whose_rate_is_orders_lower(level: float, gentler: float, told: bool) -> None:
    """Another task, learned on with a new optimiser: at a rate that moves nothing, or that does; or the same task."""

    def slowed(value: float) -> Callable[[int], float]:
        return lambda step: value if step <= 150 else gentler * value

    losses = [*falling(150), *flat(350, level)]
    stream = train(losses, rate=slowed(5e-3), overshoot=slowed(5e-3), lr=slowed(3e-3), constant=LN10)
    for step, rate in ((1, 3e-3), (151, 3e-3 * gentler)):
        stream.event(step, "optimizers", optimizers=[{"name": "", "parameters": 900, "defaults": {"lr": rate}}])
    found = stream.findings()
    assert ("learning-rate-too-low" in found) == told and "scheduler-misuse" not in found
    assert not told or (stream.loud() == ["learning-rate-too-low"] and found["learning-rate-too-low"].first_step > 150)


@pytest.mark.parametrize(("began", "promise", "told"), [(23.0, 5e-4, True), (LN10, 5e-4, True), (23.0, 1e-2, False)])
def test_a_stage_that_is_worse_than_nothing_and_will_be(began: float, promise: float, told: bool) -> None:
    """A first loss far above a constant's is no measure of what a stage had learned; nor is a loss that falls on its
    way where what is left above a constant's is more than as many steps again promise."""

    def of(first: float, then: float) -> Callable[[int], float]:
        return lambda step: first if step <= 150 else then

    losses = [*falling(150, began), *falling(200, 4 * LN10, 3 * LN10, 0.1)]
    stream = train(losses, rate=of(5e-3, 1e-4), overshoot=of(5e-3, promise), lr=of(3e-3, 3e-5), constant=LN10)
    for step, rate in ((1, 3e-3), (151, 3e-5)):
        stream.event(step, "optimizers", optimizers=[{"name": "", "parameters": 900, "defaults": {"lr": rate}}])
    assert ("learning-rate-too-low" in stream.findings()) == told


@pytest.mark.parametrize("began", [1, 101])
def test_a_stage_in_which_no_layer_gets_a_gradient_is_frozen(began: int) -> None:
    """Low-rank additions with both factors at zero: each waits for the other."""
    stream = train(flat(300, 4.0, 0.2), constant=0.693)
    for step in (1, began):
        stream.event(step, "modules", modules=[{"name": n, "parameters": 100} for n in LAYERS])
    steps = list(range(4, 300, 4))
    layered(stream, "gradients", "gradient_rms", lambda s: [0.0 if s >= began else 1.0] * 8, steps)
    layered(stream, "activations", "called", lambda s: [1.0] * 8, steps)
    found = stream.findings()["frozen-parameters"]
    assert found.severity == "critical" and found.first_step >= began
    once = layered(train(flat(300, 4.0, 0.2), constant=0.693), "gradients", "gradient_rms",
                   lambda s: [0.0 if s > 20 else 1.0] * 8, steps)  # fmt: skip
    layered(once, "activations", "called", lambda s: [1.0] * 8, steps)
    assert "frozen-parameters" not in once.findings()


@pytest.mark.parametrize(("changed", "until", "severity"), [(100, 300, "warning"), (100, 130, None), (0, 300, None)])
def test_parameters_that_are_put_back_after_they_had_changed(changed: int, until: int, severity: str | None) -> None:
    stream = train(falling(300), constant=LN10)
    layered(stream, "weights", "restored_share", lambda s: [0.5 if s >= changed else 0.0, *[0.0] * 7], range(4, 300, 4))
    found = stream.findings(until).get("frozen-parameters")
    assert (found and found.severity) == severity
    assert found is None or (found.where, found.first_step) == (LAYERS[:1], 100)


def test_parameters_put_back_now_and_then_are_none() -> None:
    """Steps that a line search takes back, and one of four that it keeps."""
    stream = train(falling(300), constant=LN10)
    layered(stream, "weights", "restored_share", lambda s: [float(s % 16 > 0)] * 8, range(4, 300, 4))
    assert "frozen-parameters" not in stream.findings()


@pytest.mark.parametrize(("losses", "severity"), [(flat(300, 2.3, 0.01), "critical"), (falling(300), "info")])
def test_a_part_with_a_rate_of_zero_is_meant_where_the_rest_learns(losses: list[float], severity: str) -> None:
    stream = train(losses, constant=LN10)
    stream.event(1, "modules", modules=[{"name": n, "parameters": 100} for n in LAYERS])
    steps = list(range(4, 300, 4))
    layered(stream, "frozen", "unchanged_share", lambda s: [1.0] * 6 + [0.0] * 2, steps)
    stream.event(steps[-1], "unchanged", why="rate 0")
    assert stream.findings()["frozen-parameters"].severity == severity


@pytest.mark.parametrize(
    ("scheduled", "ended", "began", "severity"),
    [(True, True, 1, "critical"), (False, True, 1, "critical"), (True, False, 1, "info"), (True, True, 250, "info")],
)
def test_a_part_that_is_left_at_zero_to_the_end(scheduled: bool, ended: bool, began: int, severity: str) -> None:
    stream = train(falling(300) if not scheduled else flat(300, 2.3, 0.01), constant=LN10)
    stream.event(1, "modules", modules=[{"name": n, "parameters": 100} for n in LAYERS])
    stream.event(began, "optimizers", optimizers=[{"name": "", "type": "Adam", "parameters": 800}])
    layered(stream, "frozen", "unchanged_share", lambda s: [1.0] * 6 + [0.0] * 2, (128, 256))
    stream.event(256, "unchanged", why="rate 0", scheduled=scheduled)
    if ended:
        stream.event(305, "exit", code=0)
    assert stream.findings()["frozen-parameters"].severity == severity


@pytest.mark.parametrize(
    ("shared", "ended", "severity"), [(False, False, "critical"), (True, False, "info"), (True, True, "critical")]
)
def test_an_optimizer_that_shares_parameters_waits_for_its_stage(shared: bool, ended: bool, severity: str) -> None:
    stream = train(falling(300), constant=LN10)
    stream.event(1, "modules", modules=[{"name": n, "parameters": 100} for n in LAYERS])
    layered(stream, "frozen", "unchanged_share", lambda s: [1.0] * 6 + [0.0] * 2, (128, 256))
    stream.event(128, "unchanged", why="never stepped", shared=shared)
    if ended:
        stream.event(305, "exit", code=0)
    assert stream.findings()["frozen-parameters"].severity == severity


def test_nan_is_no_softmax_collapse() -> None:
    stream = train([*falling(80), *[math.nan] * 200], constant=LN10)
    for step in range(10, 280, 10):
        share = 0.0 if step <= 80 else 1.0
        stream.row(step, "logits", {("softmax_rounding_share", "cross_entropy"): share,
                                    ("softmax_collapse_share", "cross_entropy"): 0.0})  # fmt: skip
    assert "softmax-collapse" not in stream.findings()
