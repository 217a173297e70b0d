"""Findings on numbers, optimisers and schedules: rows in closed form, and real loops with their repaired twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, ExponentialLR, LRScheduler

from histories import Stream, falling, first_cure, flat, layered, train
from surefoot.findings import Engine, catalogue
from surefoot.findings.remedies import weight_decay
from surefoot.findings.rules import adaptive, clipping, precision, schedule_cures, softmax
from surefoot.runs import Event, Finding, Remedy
from watching import watching

CE = "cross_entropy"
LOOKS = [1, 2, 4, 8, *range(16, 400, 8)]
FIT = [*falling(16, 3.0, 0.05, 0.0), *flat(284, 0.02, 0.002)]
OWN = {
    "softmax-collapse",
    "naive-loss-minimisation",
    "output-logit-divergence",
    "epsilon-dominated-update",
    "always-clipping",
    "amp-step-skipping",
    "low-precision-underflow",
    "low-precision-overflow",
    "scheduler-misuse",
}


def severity(stream: Stream, id: str) -> str | None:
    found = stream.findings().get(id)
    return None if found is None else found.severity


def at_looks(stream: Stream, family: str, where: str, **signals: Callable[[int], float]) -> Stream:
    for step in LOOKS:
        stream.row(step, family, {(signal, where): value(step) for signal, value in signals.items()})
    return stream


def test_every_id_is_taught() -> None:
    assert catalogue.explanations().keys() >= OWN


# -- softmax -----------------------------------------------------------------------------------------------------------


def logits(
    rounding: Callable[[int], float], shift: Callable[[int], float] = lambda s: 0.1, error: float = 1e-7
) -> Stream:
    stream = train(falling(400, 3.0, 1e-6, 0.0), looks=LOOKS)
    at_looks(stream, "weights", "", nlm_alignment=lambda s: 0.7 if rounding(s) < 0.5 else 0.1)
    return at_looks(
        stream,
        "logits",
        CE,
        softmax_rounding_share=rounding,
        softmax_collapse_share=rounding,
        softmax_headroom=lambda s: 10 - s / 20,
        target_margin_min=lambda s: 1.0 if s > 20 else -1.0,
        log_partition_mean=shift,
        logit_shift=shift,
        logit_rounding=lambda s: error * abs(shift(s)),
    )


def test_a_collapse_counts_when_it_lasts() -> None:
    lasting = logits(lambda s: 1.0 if s > 200 else 0.0)
    assert severity(lasting, "softmax-collapse") == "warning"
    found = lasting.findings()["softmax-collapse"]
    assert found.first_step == 208 and found.detected_step >= 256 and found.because_of == "naive-loss-minimisation"
    assert severity(lasting, "naive-loss-minimisation") == "warning"
    assert severity(logits(lambda s: 1.0 if s > 350 else 0.0), "softmax-collapse") == "info"
    assert severity(logits(lambda s: 0.6), "softmax-collapse") == "info"
    assert severity(logits(lambda s: 0.4), "softmax-collapse") is None


def test_a_collapse_is_cured_by_what_it_comes_from() -> None:
    def first(eps: float) -> str | None:
        stream = logits(lambda s: 1.0 if s > 200 else 0.0, lambda s: 40.0, error=0.5 * eps)
        return stream.findings()["softmax-collapse"].remedies[0].apply

    assert first(2.0**-7) == "best-of:of=float32-logits/float32-logits+weight-decay:decay=0.33"
    # steps of 1e-3 of the weights at a rate of 1e-3: weights three times as large lose as much at a decay of 1/3
    assert first(2.0**-23) == "best-of:of=weight-decay:decay=0.33/weight-decay:decay=1/weight-decay:decay=0.1"


def test_a_collapse_that_pushes_the_logits_counts() -> None:
    stream = logits(lambda s: 0.6 if 200 < s < 260 else 0.01, lambda s: -0.5 * max(1, s - 220))
    assert severity(stream, "softmax-collapse") == "warning"


def test_rows_that_are_certain_and_others_that_are_surely_wrong() -> None:
    def decided(certain: float, worst: float, largest: Callable[[int], float]) -> str | None:
        stream = logits(lambda s: 1e-7)
        at_looks(stream, "logits", CE, softmax_collapse_share=lambda s: certain, target_margin_min=lambda s: worst)
        return severity(at_looks(stream, "logits", CE, logit_max=largest), "softmax-collapse")

    assert decided(0.95, -30.0, lambda s: 2.0 * s) == "warning"
    assert decided(0.8, -30.0, lambda s: 2.0 * s) is None
    assert decided(0.95, -10.0, lambda s: 2.0 * s) is None  # the softmax can tell that from certainty
    assert decided(0.95, -30.0, lambda s: 100.0) is None  # a small temperature


def test_a_gradient_along_the_weights_alone_is_an_info() -> None:
    assert severity(logits(lambda s: 0.0), "naive-loss-minimisation") == "info"
    assert severity(logits(lambda s: 0.0), "softmax-collapse") is None
    assert logits(lambda s: 0.0).loud() == []


def test_logits_that_drift_together_count_where_it_costs_something() -> None:
    def drift(s: int) -> float:
        return -float(s)

    assert severity(logits(lambda s: 0.0, drift), "output-logit-divergence") == "info"
    assert severity(logits(lambda s: 0.0, drift, 2.0**-8), "output-logit-divergence") == "warning"
    # large from the start, or grown and at rest
    assert severity(logits(lambda s: 0.0, lambda s: -100 - 0.1 * s), "output-logit-divergence") is None
    assert severity(logits(lambda s: 0.0, lambda s: -9.0 if s < 20 else -40.0), "output-logit-divergence") != "warning"


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([2.0 - 0.001 * s**2 for s in range(400)], "warning"),
        ([2.0 - 0.001 * s for s in range(400)], "info"),
        ([-100.0 - 0.1 * s for s in range(400)], "info"),  # far below zero, and hardly lower than before
    ],
)
def test_logits_that_drift_for_a_term_without_an_end(losses: list[float], told: str) -> None:
    stream = train(losses, rate=1e-3)
    for step in (1, 2, 4, 8, *range(16, 400, 16)):
        row = {"log_partition_mean": -float(step), "logit_shift": -float(step), "logit_rounding": 1e-6}
        stream.row(step, "logits", {(signal, CE): value for signal, value in row.items()})
    assert severity(stream, "output-logit-divergence") == told


@pytest.mark.parametrize(
    ("behind", "first", "last", "size", "told"),
    [
        (-80.0, 60.0, 1.8, 0.3, "warning"),
        (-5.0, 60.0, 1.8, 0.3, None),
        (-80.0, 60.0, 0.9, 0.3, None),  # half of what there is to learn has been learned
        (-80.0, 6.0, 1.8, 0.3, None),  # few rows
        (-80.0, 60.0, 1.8, 12.0, None),  # it is the weights that are large
    ],
)
def test_a_softmax_that_was_certain_before_anything_was_learned(
    behind: float, first: float, last: float, size: float, told: str | None
) -> None:
    stream = train([first, *flat(127, last)], constant=math.log(10))
    stream.event(1, "initialisation", activation="relu", weight_variance={"a": size, "b": size})
    at_looks(stream, "logits", CE, target_margin=lambda s: behind if s < 4 else -1.0)
    assert severity(stream, "softmax-collapse") == told
    if told is not None:
        cure = stream.findings()["softmax-collapse"].remedies[0]
        given = {"loss_fn": F.cross_entropy}
        exec(cure.how, given)
        x, y = 100 * torch.randn(64, 5), torch.arange(64) % 5
        assert cure.apply == "temper" and given["loss_fn"](x, y) < 0.1 * F.cross_entropy(x, y)


# -- adaptive optimisers and clipping ----------------------------------------------------------------------------------


def adaptive_run(losses: list[float], factor: list[float], layer_rates: Any = None, **how: Any) -> Stream:
    stream = train(losses, looks=LOOKS, **how)
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": "Adam", "defaults": {"lr": 1e-3, "eps": 1e-8}}])
    layered(stream, "adaptivity", "epsilon_share", lambda s: [float(f < 0.5) for f in factor], LOOKS)
    layered(stream, "adaptivity", "epsilon_factor", lambda s: factor, LOOKS)
    if layer_rates is not None:
        layered(stream, "weights", "update_ratio", lambda s: layer_rates, LOOKS)
    return stream


def test_epsilon_counts_where_something_stands_still() -> None:
    id = "epsilon-dominated-update"
    assert severity(adaptive_run(flat(300), [0.01] * 8), id) == "warning"
    assert severity(adaptive_run(falling(300), [0.01] * 8, overshoot=6e-3), id) == "info"
    assert severity(adaptive_run(flat(300), [0.3] * 8), id) == "info"
    assert severity(adaptive_run(flat(300), [0.9] * 8), id) is None
    # two layers stand still, the others learn
    factors, rates = [0.001] * 2 + [1.0] * 6, [1e-7] * 2 + [1e-3] * 6
    still = adaptive_run(falling(300, last=1.0), factors, layer_rates=rates)
    assert severity(still, id) == "warning" and still.findings()[id].where == ("layers.0", "layers.1")
    assert severity(adaptive_run(FIT, factors, layer_rates=rates), id) == "info"


def test_epsilon_counts_where_the_run_ends_before_the_weights_have_moved() -> None:
    def ended(
        factor: float = 0.1, last: float = 1.0, code: int | None = 0, late: float = 0.1, **how: Any
    ) -> str | None:
        stream = train(falling(300, last=last), looks=LOOKS, constant=2.3, **({"overshoot": 6e-3} | how))
        layered(stream, "adaptivity", "epsilon_share", lambda s: [float((factor if s < 8 else late) < 0.5)] * 8, LOOKS)
        layered(stream, "adaptivity", "epsilon_factor", lambda s: [factor if s < 8 else late] * 8, LOOKS)
        if code is not None:
            stream.event(300, "exit", code=code)
        return severity(stream, "epsilon-dominated-update")

    assert ended() == "warning" and ended(code=None) == "info"
    assert ended(code=None, lr=lambda s: 1e-3 * 0.99**s) == "warning"  # down to a tenth
    assert ended(rate=1e-2) == "info"  # 300 such steps are three times the weights
    assert ended(overshoot=0.2) == "info"  # ten times as long they would be too long
    assert ended(last=0.1) == "info" and ended(late=0.2) == "info"
    assert ended(factor=0.9) == "info"  # it is what was learned that made the gradients small


def test_epsilon_counts_where_it_makes_a_learning_run_slower_by_a_decade() -> None:
    def told(factor: float = 0.1, curved: float = 0.01, **how: Any) -> Any:
        stream = adaptive_run(falling(300, last=1.6), [factor] * 8, **how)
        at_looks(stream, "curvature", "", stability_coefficient=lambda s: curved)
        return stream.findings().get("epsilon-dominated-update")

    found = told()
    assert found.severity == "warning" and found.detected_step == 48
    assert told(curved=0.1).severity == "info"  # a whole step would be at the bound of the curvature
    assert told(overshoot=6e-3).severity == "info"  # 48 such steps promise more than half of the loss
    assert told(factor=0.2).severity == "info"  # more than an eighth is left
    assert told(lr=lambda s: 1e-3 * s).severity == "info"  # a warm-up


def clipped(losses: list[float], ratio: float, rate: float, overshoot: float = 0.01, **how: Any) -> Stream:
    stream = train(losses, rate=rate, overshoot=overshoot, looks=LOOKS, **how)
    stream.event(1, "optimizers", optimizers=[{"name": "", "type": "SGD", "defaults": {"lr": 0.1}}])
    return at_looks(stream, "gradients", "", clip_ratio=lambda s: ratio)


def test_clipping_counts_where_it_is_why_nothing_moves() -> None:
    id = "always-clipping"
    assert severity(clipped(flat(300), 1e-4, 1e-6), id) == "warning"
    assert severity(clipped(flat(300), 1e-4, 1e-11), id) == "info"  # too slow without it as well
    assert severity(clipped(flat(300), 3e-3, 5e-5, 1e-5), id) == "warning"  # it moves, and promises nothing
    # whole steps would promise too little, too: clipping took a factor of 300, the rate less; or 20, and the rate more
    assert severity(clipped(flat(300), 3e-3, 5e-5, 1e-7), id) == "warning"
    assert severity(clipped(flat(300), 0.05, 5e-5, 1e-8), id) == "info"
    assert severity(clipped(flat(300), 3e-3, 5e-5, 6e-4), id) == "warning"  # 64 such steps are no tenth of the loss
    assert severity(clipped(flat(300), 3e-3, 5e-5, 2e-3), id) == "info"
    assert severity(clipped(falling(300), 1e-2, 1e-3), id) == "info"
    assert severity(clipped(flat(300), 0.5, 1e-6), id) is None


def test_clipping_counts_where_it_makes_a_learning_run_slower_by_a_decade() -> None:
    def told(ratio: float = 0.05, overshoot: float = 2e-3, last: float = 1.6, curved: float = 0.02, **how: Any) -> Any:
        stream = clipped(falling(300, last=last), ratio, 1e-3, overshoot, **how)
        at_looks(stream, "curvature", "", stability_coefficient=lambda s: curved)
        return stream.findings().get("always-clipping")

    found = told()
    assert found.severity == "warning" and found.detected_step == 48
    assert told(overshoot=2e-2).severity == "info"  # without clipping each step would promise four fifths of the loss
    assert told(ratio=1e-3).severity == "info"  # a thousand times as long it would overshoot
    assert told(curved=1.0).severity == "info"  # the rate is at its bound: it was chosen for gradients of length one
    assert told(overshoot=6e-3).severity == "info"  # 48 such steps promise more than half of the loss
    assert (
        severity(clipped(falling(100, last=0.05), 0.05, 1e-3, 2e-3), "always-clipping") == "info"
    )  # half of it is gone
    assert told(lr=lambda s: 1e-3 * s).severity == "info"  # a warm-up


@pytest.mark.parametrize(("norm", "bound"), [(3.0, 30), (math.nan, 1)])
@pytest.mark.filterwarnings("error")
def test_clipping_is_widened_where_the_norm_overflowed_at_each_look(norm: float, bound: float) -> None:
    stream = clipped(flat(300), 1e-4, 1e-6)
    at_looks(stream, "gradients", "", gradient_norm=lambda s: norm)
    assert stream.findings()["always-clipping"].remedies[0].apply == f"wider-clip:bound={bound}"


# -- half precision ----------------------------------------------------------------------------------------------------


def half(losses: list[float], zero: list[float], subnormal: list[float]) -> Stream:
    stream = train(losses, looks=LOOKS)
    layered(stream, "precision", "gradient_zero_share", lambda s: zero, LOOKS)
    return layered(stream, "precision", "gradient_subnormal_share", lambda s: subnormal, LOOKS)


def test_gradients_at_the_floor_count_in_a_run_that_learns_nothing() -> None:
    id = "low-precision-underflow"
    assert severity(half(flat(300), [0.5] * 8, [0.5] * 8), id) == "warning"
    assert severity(half(falling(300), [0.5] * 8, [0.5] * 8), id) == "info"
    assert severity(half(flat(300), [0.95] * 8, [0.0] * 8), id) is None  # ReLUs that are off
    # the first layers get nothing from the start on, and the last ones learn
    silent = half(falling(300, last=1.0), [1.0] * 3 + [0.95] + [0.0] * 4, [0.0] * 3 + [0.05] + [0.1] * 4)
    assert severity(silent, id) == "warning"
    assert silent.findings()[id].where == ("layers.0", "layers.1", "layers.2", "layers.3")


def swallowing(
    norm: int, losses: list[float], share: float | Callable[[int], float] = 0.97, other: float = 0.5, **how: Any
) -> Stream:
    at = share if callable(share) else lambda s: share
    stream = train(losses, looks=LOOKS, **how)
    sizes = [100_000] * 7 + [norm]
    stream.event(1, "modules", root="m", modules=[
        {"name": f"layers.{i}", "type": "Linear", "parameters": size, "depth": i} for i, size in enumerate(sizes)
    ])  # fmt: skip
    layered(stream, "gradients", "gradient_rms", lambda s: [1.0] * 8, LOOKS)
    layered(stream, "weights", "weight_rms", lambda s: [0.02] * 8, LOOKS)
    return layered(stream, "weights", "swallowed_share", lambda s: [at(s)] * 7 + [other], LOOKS)


def test_swallowed_updates_count_by_elements_where_float32_would_move() -> None:
    id = "low-precision-underflow"
    assert severity(swallowing(2000, flat(300)), id) == "warning"  # the biases of a normalisation begin at zero
    assert severity(swallowing(400_000, flat(300)), id) == "warning"  # most of all, where nothing is learned
    assert severity(swallowing(2_000_000, flat(300), other=0.2), id) == "info"
    assert severity(swallowing(2000, falling(300)), id) == "info"


def test_swallowed_updates_count_where_steps_promise_a_sixteenth_of_what_they_did() -> None:
    slow = [*falling(48, last=1.0), *flat(252, 1.0)]

    def found(left: float, losses: list[float] = slow, share: float = 0.97, **how: Any) -> str | None:
        promised = how.pop("lr", lambda s: 1e-3)
        stream = swallowing(2000, losses, share, constant=2.3, lr=promised,
                            overshoot=lambda s: promised(s) * (1.0 if s <= 8 else left))  # fmt: skip
        return severity(stream, "low-precision-underflow")

    assert found(1 / 20) == "warning" and found(1 / 10) == "info"  # which averaging leaves, too
    assert found(1 / 20, FIT) == "info" and found(1 / 20, share=0.8) is None
    assert found(1 / 20, falling(300, last=0.1)) == "info"  # the updates that are left are enough
    assert found(1.0, lr=lambda s: 1e-3 * 0.98**s) == "info"  # the schedule's own fall
    assert found(1 / 20, lr=lambda s: 1e-3 if s < 32 else 1e-4) == "info"  # it is the schedule that ends the run


def test_swallowed_updates_count_from_a_rate_on_that_was_to_teach_something() -> None:
    losses = [*falling(150, last=1.0, noise=0.01), *flat(150, 1.0, 0.01)]

    def found(at: int, losses: list[float] = losses, **how: Any) -> str | None:
        falls, eps = how.pop("lr", lambda s: 1e-3 * (1 - s / 301)), how.pop("eps", None)
        stream = swallowing(2000, losses, lambda s: 0.95 if s >= at else 0.5, lr=falls, **how)
        defaults = {"lr": 1e-3} | ({} if eps is None else {"eps": eps})
        stream.event(1, "optimizers", optimizers=[{"name": "", "type": "O", "parameters": 8, "defaults": defaults}])
        return severity(stream, "low-precision-underflow")

    assert found(160) == "warning" and found(160, FIT, eps=1e-8) == "warning"  # Adam's steps are no shorter for a fit
    assert found(232, FIT, eps=1e-8) == "info"
    assert found(232) == "info"  # a quarter of the rate: it is the schedule that ends the run
    assert found(160, [2.3 - 0.006 * s for s in range(300)]) == "info"  # the updates that are left are enough
    assert found(160, FIT) == "info"


def test_overflow_is_told_before_it_comes() -> None:
    def peaks(peak: Callable[[int], float], losses: list[float]) -> Stream:
        return layered(train(losses, looks=LOOKS), "activations", "activation_peak", lambda s: [0.01] * 7 + [peak(s)],
                       LOOKS)  # fmt: skip

    id = "low-precision-overflow"
    near = peaks(lambda s: 0.6 if s > 100 else 0.2, falling(300))
    assert severity(near, id) == "warning" and near.findings()[id].where == ("layers.7",)
    assert severity(peaks(lambda s: 0.4, falling(300)), id) is None
    lost = peaks(lambda s: math.inf if s > 100 else 0.2, [*falling(100), *[math.nan] * 60])
    assert severity(lost, id) == "critical"


def test_an_operation_that_overflows_is_told_at_the_second_look() -> None:
    def overflowing(steps: list[int]) -> Stream:
        stream = train(falling(300), looks=LOOKS)
        for step in steps:
            stream.row(step, "overflow", {("overflowed_share", "sum"): 0.4})
        return stream

    id = "low-precision-overflow"
    assert severity(overflowing(LOOKS[:1]), id) is None
    found = overflowing(LOOKS[:2]).findings()[id]
    assert (found.severity, found.detected_step, found.first_step) == ("warning", LOOKS[1], LOOKS[0])


@pytest.mark.parametrize(
    ("value", "dtype", "cause"),
    [("inf", "float16", "low-precision-overflow"), ("nan", "float16", "bad-batch"), ("inf", "float32", "bad-batch")],
)
def test_data_that_are_infinite_in_float16_were_made_so(value: str, dtype: str, cause: str) -> None:
    stream = train([2.3, 2.2, math.nan, math.nan], constant=2.3)
    stream.event(3, "nonfinite", kind="input", where="out", operation="mul", value=value, dtype=dtype)
    found = stream.findings()
    assert found[cause].severity == "critical" and found["non-finite"].because_of == cause
    assert not {"low-precision-overflow", "bad-batch"} - {cause} & set(found)


@pytest.mark.parametrize(
    ("operation", "value", "dtype", "told"),
    [
        ("sum", "inf", "float16", True),
        ("sum", "nan", "float16", False),
        ("sum", "inf", "float32", False),
        ("div", "inf", "float16", False),  # of nothing
    ],
)
def test_an_activation_that_is_infinite_in_float16_has_overflowed(
    operation: str, value: str, dtype: str, told: bool
) -> None:
    stream = train([2.3, 2.2, math.nan, math.nan], constant=2.3)
    stream.event(3, "nonfinite", kind="activation", where="mix", operation=operation, value=value, dtype=dtype)
    found = stream.findings()
    assert ("low-precision-overflow" in found) is told
    if told:
        assert found["non-finite"].because_of == "low-precision-overflow"
        assert found["low-precision-overflow"].severity == "critical"


def test_a_scaler_may_skip_but_not_at_any_scale() -> None:
    def skipping(total: int, row: int, bound: float) -> Stream:
        stream = train(falling(100), looks=LOOKS)
        stream.event(100, "skipped", optimizer="", total=total, in_a_row=row, taken=99, scale_bound=bound)
        return stream

    id = "amp-step-skipping"
    assert severity(skipping(16, 16, 1.0), id) is None
    assert severity(skipping(24, 24, 2.0**-8), id) == "warning"
    assert severity(skipping(32, 32, 2.0**-16), id) == "critical"
    assert severity(skipping(256, 24, 2.0**20), id) == "warning"  # two of three, and no scale lasts
    assert severity(skipping(128, 24, 2.0**20), id) is None
    hopeless = skipping(32, 32, 2.0**-16)
    assert first_cure(hopeless.findings()[id]) == "safe-domain"  # at any scale: an infinite slope
    assert first_cure(skipping(24, 24, 2.0**-8).findings()[id]) == "float32"
    hopeless.event(99, "nonfinite", kind="loss", where="", operation="", value="inf")
    assert first_cure(hopeless.findings()[id]) == "float32"
    low = at_looks(train(falling(400), looks=LOOKS), "scaler", "", loss_scale=lambda s: 0.5 if s > 200 else 1024.0)
    assert severity(low, id) == "warning"


# -- schedules ---------------------------------------------------------------------------------------------------------


def test_a_rate_that_faded_counts_after_half_of_the_run() -> None:
    id = "scheduler-misuse"
    early = train(flat(300), lr=lambda s: 0.1 * 0.8**s, looks=LOOKS)
    assert severity(early, id) == "warning" and early.findings()[id].detected_step < 130
    rests = train(FIT, lr=lambda s: 0.1 * max(0.8**s, 2e-5), looks=LOOKS)
    assert severity(rests, id) == "info"
    assert severity(train(FIT, lr=lambda s: 0.1 * max(0.0, 1 - s / 60), looks=LOOKS), id) == "info"  # it has ended
    assert severity(train(FIT, lr=lambda s: 0.1 * 0.8**s, looks=LOOKS), id) == "warning"  # falls on
    losses = [*falling(16, 0.5, 0.03, 0.0), *flat(284, 0.02, 0.002)]
    as_a_constant = train(losses, lr=lambda s: 0.1 * 0.8**s, looks=LOOKS, constant=0.024)
    assert severity(as_a_constant, id) == "warning"  # from far above a constant's loss down to it is no fit
    assert severity(train(flat(300), lr=lambda s: 0.1 * 0.98**s, looks=LOOKS), id) is None
    assert severity(train(flat(300), lr=lambda s: 0.05 * (1 + math.cos(s / 95)), looks=LOOKS), id) is None


def test_a_player_whose_rate_is_over_alone_is_told() -> None:
    def game(d: Callable[[int], float], g: Callable[[int], float], samples: bool = True) -> str | None:
        stream = train([1.0] * 400, name="d", lr=d, looks=LOOKS)
        train([1.0] * 400, name="g", lr=g, looks=LOOKS, stream=stream)
        for step in LOOKS if samples else ():
            stream.row(step, "game", {("generated_spread", "G"): 0.9})
        return severity(stream, "scheduler-misuse")

    def falls(s: int) -> float:
        return 1e-3 * 0.3 ** (s // 40)  # worth 57 steps, so that it is not spent, and 1e-2 from step 160 on

    assert game(falls, lambda s: 1e-3) == "warning" and game(lambda s: 1e-3, falls) == "warning"
    assert game(falls, falls) is None and game(falls, lambda s: 1e-3, samples=False) is None
    assert game(lambda s: 1e-3 * 0.3 ** min(3, s // 40), lambda s: 1e-3) is None  # 0.027 of it is left


def test_a_player_whose_schedule_is_called_more_often_than_the_others_gets_it_as_often() -> None:
    stream = train([1.0] * 400, name="d", lr=lambda s: 1e-3 * 0.3 ** (s // 40), looks=LOOKS)
    train([1.0] * 400, name="g", looks=LOOKS, stream=stream)
    alike = {
        "type": "ExponentialLR",
        "horizon": None,
        "optimizer_steps": 1,
        "steps": 0,
        "inner": False,
        "orphan": False,
    }
    schedulers = [alike | {"name": "D", "optimizer": "d"}, alike | {"name": "G", "optimizer": None}]
    stream.event(1, "schedulers", final=False, schedulers=schedulers)
    for step in LOOKS:
        stream.row(step, "game", {("generated_spread", "G"): 0.9})
        calls = {"D": step, "G": step / 25}
        stream.row(step, "schedule", {("scheduler_steps", name): float(count) for name, count in calls.items()})
    cures = [str(remedy.apply) for remedy in stream.findings()["scheduler-misuse"].remedies]
    assert cures[0] == "schedule:every=25" and cures[1].startswith("anneal")


def test_a_z_loss_weighs_as_much_as_what_is_left_to_learn() -> None:
    """At |log Z| = 10, where a drift begins."""
    assert [softmax.z_loss(coef).apply for coef in (0.0, 0.0061, 3.0)] == [
        "z-loss",
        "z-loss:coef=0.006",
        "z-loss:coef=0.01",
    ]


def test_a_schedule_is_spread_over_the_run() -> None:
    def cure(fades: int | None) -> str | None:
        stream = train(flat(320), lr=lambda s: 0.1 * 0.1 ** (s // 8), looks=LOOKS)
        facts = {"name": "StepLR", "type": "StepLR", "horizon": None, "fades": fades, "optimizer": "", "inner": False}
        stream.event(320, "schedulers", final=True, schedulers=[facts | {"optimizer_steps": 320, "steps": 320.0}])
        return first_cure(stream.findings()["scheduler-misuse"])

    assert cure(16) == "schedule:every=20"
    assert cure(None) == "schedule:every=20"  # half of the 32 steps after which 1e-4 is left


# -- real loops --------------------------------------------------------------------------------------------------------


def digits() -> tuple[Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)


def watched(
    make: Callable[[Any], Optimizer],
    *,
    seed: int = 0,
    steps: int = 100,
    dtype: torch.dtype = torch.float32,
    autocast: torch.dtype | None = None,
    scaler: Any = None,
    weigh: Callable[[Tensor, Tensor], Tensor] = lambda loss, logits: loss,
    clip: float | None = None,
    spoil: bool = False,
    schedule: Callable[[Optimizer], LRScheduler] | None = None,
    per: int = 1,
    every: int = 4,
) -> tuple[Finding, ...]:
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    x, y = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(dtype)
    optimizer = make(net.parameters())
    scheduler = None if schedule is None else schedule(optimizer)
    with watching(every) as seen:
        for step in range(steps):
            rows = torch.randint(len(x), (64,), generator=draw)
            optimizer.zero_grad()
            with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
                out = net(x[rows].to(dtype))
                loss = weigh(F.cross_entropy(out, y[rows]), out)
            (loss if scaler is None else scaler.scale(loss)).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            if spoil:
                net[0].weight.grad.fill_(math.nan)
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
                scaler.update()
            if scheduler is not None and (step + 1) % per == 0:
                scheduler.step()
    engine = Engine()
    events = [Event(*event) for event in seen.events]
    events.append(Event(seen.observer.clock.steps, "exit", {"code": 0, "exception": None}))
    engine.feed_all(sorted(seen.rows, key=lambda row: (row[0], row[1].name)), events)
    assert engine.notes == [] and seen.of("note") == []
    return engine.findings


def scaled() -> Any:
    return torch.amp.GradScaler("cpu")


def shifted(loss: Tensor, out: Tensor) -> Tensor:
    return loss + 0.01 * out.mean()


def held(loss: Tensor, out: Tensor) -> Tensor:
    return shifted(loss, out) + 1e-2 * out.float().logsumexp(-1).square().mean()


def tiny(loss: Tensor, out: Tensor) -> Tensor:
    return 1e-6 * loss


# what is found, the faulty loop, and its repaired twin
LOOPS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "eps": (
        "epsilon-dominated-update",
        {"make": lambda p: Adam(p, 1e-3, eps=10.0)},
        {"make": lambda p: Adam(p, 1e-3, eps=1e-15)},
    ),
    "eps-rmsprop": (
        "epsilon-dominated-update",
        {"make": lambda p: RMSprop(p, 1e-3, eps=10.0)},
        {"make": lambda p: RMSprop(p, 1e-3)},
    ),
    "clip": (
        "always-clipping",
        {"make": lambda p: SGD(p, 0.1), "clip": 1e-5},
        {"make": lambda p: SGD(p, 0.1), "clip": 3.0},
    ),
    "clip-adam": (
        "always-clipping",
        {"make": lambda p: Adam(p, 1e-3), "clip": 1e-9},
        {"make": lambda p: Adam(p, 1e-3), "clip": 1.0},
    ),
    "float16": (
        "low-precision-underflow",
        {"make": lambda p: SGD(p, 1e5), "autocast": torch.float16, "weigh": tiny},
        {"make": lambda p: SGD(p, 1e5), "autocast": torch.float16, "weigh": tiny, "scaler": True},
    ),
    "bfloat16": (
        "low-precision-underflow",
        {"make": lambda p: SGD(p, 3e-3), "dtype": torch.bfloat16},
        {"make": lambda p: SGD(p, 3e-1), "dtype": torch.bfloat16},
    ),
    "nan": (
        "amp-step-skipping",
        {"make": lambda p: Adam(p, 3e-3), "autocast": torch.float16, "scaler": True, "spoil": True},
        {"make": lambda p: Adam(p, 3e-3), "autocast": torch.float16, "scaler": True},
    ),
    "cosine": (
        "scheduler-misuse",
        {"make": lambda p: Adam(p, 3e-3), "schedule": lambda o: CosineAnnealingLR(o, 10)},
        {"make": lambda p: Adam(p, 3e-3), "schedule": lambda o: CosineAnnealingLR(o, 100)},
    ),
    "cosine-by-epochs": (
        "scheduler-misuse",
        {"make": lambda p: Adam(p, 3e-3), "schedule": lambda o: CosineAnnealingLR(o, 100), "per": 25},
        {"make": lambda p: Adam(p, 3e-3), "schedule": lambda o: CosineAnnealingWarmRestarts(o, 10)},
    ),
    "exponential": (
        "scheduler-misuse",
        {"make": lambda p: SGD(p, 0.02), "schedule": lambda o: ExponentialLR(o, 0.7)},
        {"make": lambda p: SGD(p, 0.2), "schedule": lambda o: ExponentialLR(o, 0.7), "per": 25},
    ),
    "never-stepped": (
        "scheduler-misuse",
        {"make": lambda p: Adam(p, 3e-3), "schedule": lambda o: ExponentialLR(o, 0.9), "per": 1000},
        {"make": lambda p: Adam(p, 3e-3), "schedule": lambda o: ExponentialLR(o, 0.9), "per": 25},
    ),
    "shift": (
        "output-logit-divergence",
        {"make": lambda p: Adam(p, 1e-2), "autocast": torch.bfloat16, "weigh": shifted, "steps": 500, "every": 10},
        {"make": lambda p: Adam(p, 1e-2), "autocast": torch.bfloat16, "weigh": held, "steps": 500, "every": 10},
    ),
}


def ready(how: dict[str, Any]) -> dict[str, Any]:
    return {**how, "scaler": scaled()} if how.get("scaler") else how


@pytest.mark.parametrize("seed", [0])  # more seeds, and more networks, are the clinic's
@pytest.mark.parametrize("name", LOOPS)
def test_faults_are_found(name: str, seed: int) -> None:
    id, faulty, _ = LOOPS[name]
    found = {f.id: f for f in watched(seed=seed, **ready(faulty))}
    assert id in found and found[id].severity != "info", found.keys()
    assert found[id].rank == 1 and found[id].remedies and found[id].evidence


@pytest.mark.parametrize("seed", [0])  # more seeds, and more networks, are the clinic's
@pytest.mark.parametrize("name", LOOPS)
def test_repaired_twins_are_clean(name: str, seed: int) -> None:
    _, _, repaired = LOOPS[name]
    loud = [(f.id, f.cause) for f in watched(seed=seed, **ready(repaired)) if f.severity != "info" and f.id in OWN]
    assert loud == []


# -- remedies ----------------------------------------------------------------------------------------------------------


def own_remedies() -> list[Remedy]:
    modules: tuple[ModuleType, ...] = (adaptive, precision, schedule_cures, softmax)
    fixed = [v for module in modules for v in vars(module).values() if isinstance(v, Remedy)]
    made = [
        clipping.wider_clip(0.3),
        clipping.wider_clip(math.nan),
        adaptive.smaller_eps(3e-14),
        adaptive.smaller_eps(3e-21),
    ]
    made += [schedule_cures.schedule_for(100), schedule_cures.step_every(20), weight_decay(0.3)]
    return [*fixed, *made, adaptive.smaller_eps(math.nan)]


def test_an_epsilon_is_chosen_below_the_smallest_gradients() -> None:
    assert adaptive.smaller_eps(1e-9).apply == adaptive.smaller_eps(math.nan).apply == "adam-eps"
    assert adaptive.smaller_eps(3e-11).apply == "adam-eps:eps=1e-17"
    # float32 holds no √v̂ below 1e-19
    assert adaptive.smaller_eps(3e-21).apply == "adam-eps:eps=1e-27" and "* 1e+19" in adaptive.smaller_eps(3e-21).how
    assert adaptive.smaller_eps(1e-40).apply == "adam-eps:eps=1e-37"


@pytest.mark.parametrize("remedy", own_remedies(), ids=lambda r: r.name)
def test_snippets_run(remedy: Remedy) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    names: dict[str, Any] = {"model": model, "optimizer": Adam(model.parameters(), 1e-3), "loss_fn": F.cross_entropy}
    names["scheduler"] = torch.optim.lr_scheduler.StepLR(names["optimizer"], 1)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    F.cross_entropy(model(x), y).backward()
    assert remedy.how.startswith(("# after: ", "# replace: "))
    exec(compile(remedy.how, remedy.name, "exec"), names)
    loss = names["loss_fn"](names["model"](x), y)
    names["optimizer"].zero_grad()
    loss.backward()
    names["optimizer"].step()
    assert torch.isfinite(names["model"](x)).all()
    torch.autograd.set_detect_anomaly(False)
