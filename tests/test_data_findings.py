"""The rules on data and losses: edges in closed form, faulty loops and their repaired twins as a script has them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from histories import LOOKS, Stream, falling, flat, train
from surefoot.findings import Engine
from surefoot.findings.rules import batches, input_cures, inputs, loss_shape, loss_terms, odd_batches, stale
from surefoot.runs import Event, Finding, Remedy
from watching import watching

NAN = math.nan
LN10 = math.log(10)
MINE = {
    "unscaled-inputs",
    "unshuffled-data",
    "broadcast-loss",
    "loss-term-imbalance",
    "bad-batch",
    "opposing-outliers",
    "stale-batch",
}

# --- closed form -------------------------------------------------------------------------------------------------


def entering(stream: Stream, size: float, spread: float = 2.0) -> Stream:
    for step in (1, 2, 4, 8, 16, 64, 128):
        stream.row(step, "inputs", {("preactivation_scale", "fc"): size, ("feature_spread", "fc"): spread})
    return stream


def test_large_inputs_need_harm_to_be_more_than_an_info() -> None:
    well = entering(train(falling(150), constant=LN10), 12.0).findings()["unscaled-inputs"]
    assert well.severity == "info"
    assert "unscaled-inputs" not in entering(train(falling(150), constant=LN10), 9.0).findings()
    later = entering(train(falling(150), constant=LN10), 12.0)  # a rectifier has passed the size on
    for step in (1, 2, 4):
        later.row(step, "activations", {("saturated_share", "fc"): NAN, ("saturated_share", "fc2"): 0.9})
    assert later.findings()["unscaled-inputs"].severity == "warning"
    absurd = entering(train(falling(150, first=30.0), constant=LN10), 12.0).findings()["unscaled-inputs"]
    assert absurd.severity == "warning" and absurd.first_step == 1 and absurd.where == ("fc",)
    lost = entering(train([2.3, 90.0, NAN, NAN], constant=LN10), 500.0).findings()["unscaled-inputs"]
    assert lost.severity == "critical" and lost.rank == 1


def test_tiny_and_uneven_inputs_count_only_where_nothing_is_learned() -> None:
    for size, spread in ((1e-4, 2.0), (0.5, 1e3)):
        assert entering(train(falling(150), constant=LN10), size, spread).loud() == []
        stuck = entering(train(flat(150), constant=LN10), size, spread).findings()["unscaled-inputs"]
        assert stuck.severity == "warning" and stuck.detected_step >= 100
        cell = entering(train(flat(150), constant=LN10), size, spread)
        cell.row(64, "recurrence", {("bptt_rate", "fc"): 1.1})  # it enters step by step, at first an empty state
        assert cell.loud() == []


@pytest.mark.parametrize(
    ("size", "level", "flat_share", "told"),
    [(15.0, 2.3, 0.0, True), (15.0, 0.2, 0.0, False), (1.4, 2.3, 0.0, False), (15.0, 0.2, 0.6, True)],
)
def test_inputs_that_come_in_another_unit_on_the_way(size: float, level: float, flat_share: float, told: bool) -> None:
    """Not where the loss stays and no unit gets flat, or inputs change little; whatever the weights do meanwhile."""
    stream = train([*falling(100), *flat(100, level)], constant=LN10)
    for step in range(4, 200, 8):
        now = step > 100
        row = {("preactivation_scale", "fc"): size * step if now else 0.15, ("feature_spread", "fc"): 2.0}
        stream.row(step, "inputs", row | {("input_rms", "fc"): size if now else 0.15})
        stream.row(step, "activations", {("saturated_share", "fc"): flat_share if now else 0.0})
    found = stream.findings().get("unscaled-inputs")
    assert (found is not None) == told
    assert found is None or (found.severity, found.first_step) == ("warning", 108)
    # a first layer that got its inputs in the right size at the start is left alone by `standardize` as it is
    assert found is None or str(found.remedies[0].apply).startswith("best-of:of=same-unit/bound-inputs/standardize")


@pytest.mark.parametrize(
    ("size", "promise", "told"),
    [
        (lambda s: 4 + 0.5 * s, 1.5, True),  # a clock
        (lambda s: 4 + 0.5 * s, 0.5, False),  # nothing comes of it
        (lambda s: 4 + 0.1 * s, 1.5, False),  # ninefold
        (lambda s: 4.0 if s < 150 else 150.0, 1.5, False),  # at once: another unit
        (lambda s: 154 - 150 * 0.97**s, 1.5, False),  # it comes to rest
    ],
    ids=["grows", "harmless", "too little", "leaps", "rests"],
)
def test_inputs_that_grow_with_the_run(size: Callable[[int], float], promise: float, told: bool) -> None:
    stream = train(falling(300), overshoot=lambda s: promise if s > 200 else 0.01)
    for step in LOOKS:
        if step <= 300:
            values = {("input_rms", "net.0"): size(step), ("preactivation_scale", "net.0"): 0.4 * size(step),
                      ("feature_spread", "net.0"): 1.0}  # fmt: skip
            stream.row(step, "inputs", values)
    found = stream.findings().get("unscaled-inputs")
    assert (found is not None and found.severity == "warning") == told
    if told:
        assert "grow with the run" in found.cause and found.detected_step <= 220 and found.where == ("net.0",)


def test_targets_far_from_zero_are_no_fault_of_the_inputs() -> None:
    stream = entering(train(falling(150, first=25_000.0, last=3000.0, noise=10), constant=5000.0), 12.0)
    for step in (1, 2, 4, 8):
        stream.row(step, "samples", {("batch_rows", ""): 32, ("target_rms", ""): 152.0})
    assert stream.findings()["unscaled-inputs"].severity == "info"


def labelled(rows: list[dict[str, float]], stream: Stream | None = None) -> Stream:
    stream = stream or Stream()
    for i, row in enumerate(rows):
        stream.row(1 << i, "samples", {(signal, ""): value for signal, value in ({"batch_rows": 64} | row).items()})
    return stream


def pure(label: int, purity: float = 1.0, expected: float = 0.2) -> dict[str, float]:
    return {
        "label_purity": purity,
        "label_majority": label,
        "label_runs_expected": expected,
        "label_classes_seen": 5,
        "label_classes": 1,
        "label_rising": 0,
        "label_runs": 1.0,
    }


def test_pure_batches_of_different_classes() -> None:
    assert labelled([pure(c) for c in (0, 0, 1, 3)]).loud() == ["unshuffled-data"]
    assert labelled([pure(c) for c in (0, 0, 1)]).loud() == []
    assert labelled([pure(2) for _ in range(8)]).loud() == []  # one class alone is what there is
    assert labelled([pure(0, 0.9, 0.85) for _ in range(4)] + [pure(1, 0.9, 0.85)]).loud() == []  # imbalance
    assert labelled([pure(c, 0.5) for c in (0, 1, 2, 3)]).loud() == []  # a mixed stage of a curriculum
    assert labelled([pure(c) | {"batch_rows": 4} for c in (0, 0, 1, 3)]).loud() == []  # too few rows to say


def test_what_a_policy_has_played_is_in_no_order_that_could_be_shuffled() -> None:
    stream = Stream()
    stream.row(1, "policy", {("policy_entropy", ""): 0.6})
    assert labelled([pure(c) for c in (0, 0, 1, 3)], stream).loud() == []


def test_a_stage_that_is_sorted_by_class_after_one_that_was_not() -> None:
    mixed = [pure(c % 3, 0.2) for c in range(6)]
    sorted_ones = [pure(c // 3) for c in range(9)]
    found = labelled(mixed + sorted_ones).findings()["unshuffled-data"]
    assert found.severity == "warning" and (found.first_step, found.detected_step) == (1 << 6, 1 << 13)
    assert labelled(mixed + sorted_ones[:7]).loud() == []
    assert labelled(mixed + [pure(1)] * 9).loud() == []  # a stage that is of one class
    assert labelled(mixed + sorted_ones + [pure(0, 0.2)]).loud() == ["unshuffled-data"]  # told while it was so
    assert labelled(mixed + [pure(c % 3, 1.0 if c % 2 else 0.2) for c in range(12)]).loud() == []


def test_numbers_in_order_are_sorted_data_if_there_are_several() -> None:
    numbers = {"label_rising": 1.0, "label_runs_expected": 0.0}
    assert labelled([numbers | {"label_runs": 0.9}] * 4).loud() == ["unshuffled-data"]
    assert labelled([numbers | {"label_runs": -0.5}] * 4).loud() == []  # the two ends of an interval


def test_two_groups_side_by_side_are_made_on_purpose() -> None:
    row = pure(0, 0.5, 0.5) | {"label_rising": 1, "label_runs": 0.98, "label_classes": 2, "label_classes_seen": 2}
    assert labelled([row] * 8).loud() == []
    few = row | {"label_classes": 4, "label_classes_seen": 100, "label_runs_expected": 0.01}
    assert labelled([few] * 4).loud() == ["unshuffled-data"]


def test_returning_batches_are_an_info() -> None:
    rows = [{"distinct_batches": float(min(i, 5)), "batch_returned": float(i > 5)} for i in range(1, 8)]
    found = labelled(rows).findings()["unshuffled-data"]
    assert found.severity == "info"


def test_one_batch_is_stale_only_beside_a_loader_with_more() -> None:
    def rows(waiting: float, asked: float = 1.0) -> list[dict[str, float]]:
        known = {"stale_loader_batches": waiting, "stale_loader_asked": asked}
        return [{"distinct_batches": 1.0} | {k: v if i > 3 else NAN for k, v in known.items()} for i in range(8)]

    assert labelled(rows(29)).loud() == ["stale-batch"]
    assert labelled(rows(29, asked=0.0)).findings()["stale-batch"].severity == "info"
    assert labelled(rows(0)).loud() == []
    assert labelled(rows(29)[:6]).loud() == []  # 32 steps: several updates on one batch
    tested = [row | ({"stale_tested": 1.0} if row["stale_loader_batches"] > 0 else {}) for row in rows(29, asked=0.0)]
    assert labelled(tested).findings()["stale-batch"].severity == "warning"


@pytest.mark.parametrize(("apart", "stale"), [(2, True), (8, False)])
def test_a_batch_kept_after_others_is_told_from_a_round_by_how_many_there_were(apart: int, stale: bool) -> None:
    """Five batches were seen: they may come round every 8 steps, and can't every 2."""
    stream = Stream()
    for look in range(24):
        kept = {"stale_loader_batches": 29.0, "stale_loader_asked": 0.0} if look > 8 else {}
        row = {"batch_rows": 64.0, "distinct_batches": float(min(look + 1, 5))} | kept
        unknown = {"stale_loader_batches": NAN, "stale_loader_asked": NAN}
        stream.row(64 + 8 * look + (2 if look % 3 == 1 and apart == 2 else 0), "samples",
                   {(signal, ""): value for signal, value in (unknown | row).items()})  # fmt: skip
    assert (stream.loud() == ["stale-batch"]) == stale


@pytest.mark.parametrize(("a_batch", "waiting", "told"), [(1, 150.0, 97), (1, 2.0, 129), (2, 150.0, 129)])
def test_a_loop_that_took_another_batch_at_each_step_keeps_none_for_32(
    a_batch: int, waiting: float, told: int | None
) -> None:
    """From step 65 on the batch is one; before, each was good for so many steps."""
    stream, seen, looks = Stream(), 0, (1, 2, 4, 8, 16, 32, 33, 34, 35, 48, 64, 65, 66, 73, 81, 97, 129)
    for step in looks:
        batch, met = min(step, 65) // a_batch, {min(s, 65) // a_batch for s in looks if s < step}
        seen += batch not in met
        row = {"batch_rows": 64.0, "distinct_batches": float(seen), "batch_returned": float(batch in met),
               "stale_loader_batches": waiting if step > 66 else NAN, "stale_loader_asked": NAN}  # fmt: skip
        stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
    found = stream.findings().get("stale-batch")
    assert (found and found.detected_step) == told


def test_expansion_at_two_looks() -> None:
    assert labelled([{"loss_expansion": 64}]).loud() == []
    assert labelled([{"loss_expansion": 64}] * 2).loud() == ["broadcast-loss"]
    assert labelled([{"loss_expansion": 1}] * 5).loud() == []


def test_groups_that_come_one_after_the_other() -> None:
    def sites(spread: float, share: float) -> list[str]:
        stream = train([share if step % 16 == 1 else 0.3 for step in range(1, 257)], constant=1.0, looks=range(257))
        for i, step in enumerate((1, 2, 4, 8, 16, 32, 48, 64, 65, 80, 81, 96, 97, 112, 113, 128, 129, 160, 161, 192)):
            row = {"batch_rows": 64, "batch_returned": float(i > 4), "target_deviation": 1.0}
            row |= {"target_mean": spread * ((i * 5) % 7 - 3)}
            stream.row(step, "samples", {(signal, ""): value for signal, value in row.items()})
        return stream.loud()

    assert sites(1.0, 5.0) == ["unshuffled-data"]
    assert "unshuffled-data" not in sites(0.03, 5.0)  # means of shuffled data: 1/√64 of the deviation
    assert "unshuffled-data" not in sites(1.0, 0.5)  # groups, and none is forgotten


def terms(ratio: float, quiet: Callable[[int], float], weight: float = 1.0, kind: str = "mse_loss") -> Stream:
    stream = Stream()
    for step in range(10, 500, 20):
        row = {("term_gradient_norm", "squared_error"): 100.0, ("term_gradient_norm", kind): 100.0 * ratio}
        row |= {("term_value", "squared_error"): 50.0 / step, ("term_value", kind): quiet(step)}
        row |= {("term_weight", "squared_error"): 1.0, ("term_weight", kind): weight}
        stream.row(step, "terms", row)
    return stream


def test_a_drowned_term() -> None:
    assert terms(0.005, lambda s: 0.5).loud() == ["loss-term-imbalance"]
    assert terms(0.02, lambda s: 0.5).loud() == []
    assert terms(0.005, lambda s: 0.5 / s).loud() == []  # it is learned all the same
    assert terms(0.005, lambda s: 0.5, weight=0.01).loud() == []  # small by design
    assert terms(0.005, lambda s: 1e-3 * s, kind="mean_sum").findings() == {}  # a penalty that rises from nothing
    assert terms(0.005, lambda s: 0.5, kind="kl_div").findings()["loss-term-imbalance"].severity == "info"


def held(fit: float = 0.44, cosine: float = -1.0, constant: float = NAN) -> list[str]:
    """A residual that weighs 10⁴ and its fit: gradients that cancel once the residual is down."""
    stream = train(falling(128, first=600.0, last=0.5), constant=constant)
    for step in (4, 8, 16, 32, 64, 96, 112, 128):
        loud = 600.0 if step < 20 else 0.4
        quiet = 0.44 * (1 - step / 128) + fit * step / 128
        whole = math.sqrt(loud**2 + 0.16 + 2 * loud * 0.4 * cosine * 0.999)
        row = {("term_gradient_norm", "squared_error"): loud, ("term_gradient_norm", "mse_loss"): 0.4}
        row |= {("term_alignment", "squared_error"): (loud + 0.4 * cosine * 0.999) / whole}
        row |= {("term_alignment", "mse_loss"): (0.4 + loud * cosine * 0.999) / whole}
        row |= {("term_value", "squared_error"): 5e4 / step**3, ("term_value", "mse_loss"): quiet}
        row |= {("term_weight", "squared_error"): 1e4, ("term_weight", "mse_loss"): 1.0}
        stream.row(step, "terms", row)
    return stream.loud()


def test_a_term_that_is_held_where_a_louder_one_has_put_it() -> None:
    assert held() == ["loss-term-imbalance"]
    assert held(fit=0.2) == []  # it is learned
    assert held(cosine=0.0) == []  # nothing holds it: it is as low as it gets
    assert held(cosine=0.0, constant=0.43) == ["loss-term-imbalance"]  # it knows nothing


@pytest.mark.parametrize(("left", "late", "told"), [(1e-3, 24, True), (0.02, 24, False), (1e-3, 96, False)])
def test_a_term_of_small_weight_is_not_meant_to_be_nearly_all_that_is_left(left: float, late: int, told: bool) -> None:
    """The residual falls to ``left`` by step ``late``, the ends that weigh a tenth stay: its noise is loud."""
    stream = train(falling(128, first=10.0, last=0.05))
    for step in (4, 8, 12, 16, 24, 32, 64, 96, 128):
        row = {("term_gradient_norm", "squared_error"): 500.0 if step < late else 10.0}
        row |= {("term_gradient_norm", "squared_error 2"): 0.25}
        row |= {("term_alignment", "squared_error"): 1.0, ("term_alignment", "squared_error 2"): 0.0}
        row |= {("term_value", "squared_error"): 10.0 if step < late else left}
        row |= {("term_value", "squared_error 2"): 0.05}
        row |= {("term_weight", "squared_error"): 1.0, ("term_weight", "squared_error 2"): 0.1}
        stream.row(step, "terms", row)
    found = stream.findings().get("loss-term-imbalance")
    assert (found is not None) == told
    if found is not None:
        assert found.remedies[0].apply == "term-weight:term=squared_error.2*2e03"


def test_a_score_that_never_falls_below_its_first_is_drowned_before_a_hundredth() -> None:
    def boxes(score: Callable[[int], float], error: Callable[[int], float] = lambda s: 5e4 / s, last=128) -> list[str]:
        stream = Stream()
        for step in (4, 8, 16, 32, 64, 97, 98, last):
            row = {("term_gradient_norm", "mse_loss"): 3000.0, ("term_gradient_norm", "cross_entropy"): 100.0}
            row |= {("term_value", "mse_loss"): error(step), ("term_value", "cross_entropy"): score(step)}
            row |= {("term_weight", "mse_loss"): 1.0, ("term_weight", "cross_entropy"): 1.0}
            stream.row(step, "terms", row)
        return stream.loud()

    assert boxes(lambda s: 1.77 + 2e-3 * s) == ["loss-term-imbalance"]
    assert boxes(lambda s: 1.77 - 1e-3 * s) == []  # it is learned, if slowly
    assert boxes(lambda s: 1.77 - 1e-3 * s, last=205) == ["loss-term-imbalance"]  # too slowly for the other's pace
    assert boxes(lambda s: 1.77 - 1e-2 * s if s < 99 else 0.4, last=205) == []
    assert boxes(lambda s: 1.77 + 2e-3 * s, lambda s: 5e4) == []  # neither is learned: not for the other's sake
    assert boxes(lambda s: 1.77 + 2e-3 * s, lambda s: 5.0 / s) == []  # it weighs as much as the other


@pytest.mark.parametrize(("last", "steps", "told"), [(4e3, 120, True), (4e3, 100, False), (1e2, 120, False)])
def test_a_score_that_never_fell_while_it_was_looked_at(last: float, steps: int, told: bool) -> None:
    """Looks at terms end at step 64: they are good for 128, as long as the loss is the other term."""
    stream = train([*np.geomspace(5e4, last, 64), *[last] * (steps - 64)], constant=2e4)
    for step in (4, 8, 12, 16, 24, 32, 48, 64):
        row = {("term_gradient_norm", "mse_loss"): 1e4, ("term_gradient_norm", "cross_entropy"): 100.0}
        row |= {
            ("term_value", "mse_loss"): 6e3 if step > 40 else 5e4,
            ("term_value", "cross_entropy"): 1.7 + 1e-3 * step,
        }
        row |= {("term_weight", "mse_loss"): 1.0, ("term_weight", "cross_entropy"): 1.0}
        stream.row(step, "terms", row)
    assert ("loss-term-imbalance" in stream.loud()) == told


def test_a_term_whose_looks_ended_is_drowned_as_long_as_the_other_is_the_loss() -> None:
    def seen(loud: float = 3000.0, last: float = 4e4, quiet: float = 2.0) -> list[str]:
        stream = train([5e4 if s < 50 else last for s in range(150)], constant=2e4)
        for step in (4, 8, 12, 16, 24, 32, 48, 49):
            row = {("term_gradient_norm", "mse_loss"): loud, ("term_gradient_norm", "cross_entropy"): 0.5}
            row |= {("term_value", "mse_loss"): 5e4, ("term_value", "cross_entropy"): quiet if step > 16 else 2.0}
            row |= {("term_weight", "mse_loss"): 1.0, ("term_weight", "cross_entropy"): 1.0}
            stream.row(step, "terms", row)
        return stream.loud()

    assert seen() == ["loss-term-imbalance"]
    assert seen(loud=300.0) == []  # a sixth of a step in a hundred: it may have been learned since
    assert seen(last=1e4) == ["loss-term-imbalance"]  # a fifth is left: its gradient is down by the root of that
    assert seen(last=1e2) == []  # the loud one is learned, and gives way
    assert seen(quiet=0.9) == []  # it was on its way


def test_inputs_that_are_all_one_row() -> None:
    def alike(distinct: float, losses: list[float]) -> list[str]:
        rows = [{"distinct_samples": distinct if i else 1.0} for i in range(7)]
        return labelled(rows, train(losses, constant=LN10, rate=1e-5)).loud()

    assert alike(1.0, flat(100, LN10)) == ["stalled"]
    assert alike(2.0, flat(100, LN10)) == alike(1.0, flat(60, LN10)) == []
    assert alike(1.0, falling(100)) == []  # something else tells them apart


def test_weights_that_are_overwritten_between_backwards_are_no_step() -> None:
    def wired(overwritten: bool) -> list[str]:
        stream = train(falling(150))
        for i, step in enumerate((1, 2, 4, 8, 16, 32)):
            stream.row(step, "wiring", {("stale_gradient_share", ""): 1.0})
            stream.row(step, "gradients", {("gradient_rms", "made"): 0.1, ("gradient_rms", "last"): 0.1})
            still = overwritten and i % 3 != 1
            stream.row(step, "weights", {("update_rms", "made"): 0.1, ("update_rms", "last"): 0.0 if still else 1e-3})
        return stream.loud()

    assert wired(False) == ["missing-zero-grad"] and wired(True) == []


@pytest.mark.parametrize(("value", "id"), [("nan", "bad-batch"), ("-inf", "non-finite")])
def test_minus_infinity_is_the_logarithm_of_a_zero_on_the_way_and_no_data(value: str, id: str) -> None:
    stream = train([*falling(60), NAN, NAN], constant=LN10)
    stream.event(61, "nonfinite", kind="input", where="fc", operation="addmm", value=value, dtype="float32")
    assert stream.loud()[0] == id


def odd(after: float, rows_median: float = 4.0, loss: float = 5.0, sizes: float = 0.5) -> Stream:
    losses = [*falling(60, last=0.2), loss, *([after] * 20)]
    stream = train(losses, constant=LN10, looks=[1, 2, 4, 8, 16, 32])
    for step in (1, 2, 4, 8, 16, 32):
        row = {("batch_rows", ""): 64.0, ("row_loss_median", ""): 0.3}
        stream.row(step, "samples", row)
        stream.row(step, "inputs", {("input_rms", "fc"): 0.5})
    stream.values[61, "step"][("constant_loss", "")] = 2.25
    stream.row(61, "samples", {("batch_rows", ""): 64.0, ("row_loss_median", ""): rows_median})
    stream.row(61, "inputs", {("input_rms", "fc"): sizes})
    stream.event(61, "odd_batch", rows=[3, 9], losses=[9.0, 8.0], hashes=[])
    return stream


def test_a_bad_batch_and_what_is_none() -> None:
    found = odd(0.3).findings()["bad-batch"]
    assert found.severity == "warning" and found.first_step == 61 and found.detected_step == 64
    assert "bad-batch" not in odd(4.0).findings()  # an unsafe step, or a new stage: the next batches are off as well
    assert "bad-batch" not in odd(0.3, rows_median=0.2).findings()  # one hard sample
    assert "bad-batch" not in odd(0.3, loss=1.5, rows_median=1.5).findings()  # noise
    assert odd(4.0, sizes=6.0).findings()["bad-batch"].detected_step == 61  # inputs of another size say it at once


@pytest.mark.parametrize(
    ("most", "clean_deviation", "told"),
    [
        (lambda look: 9000.0, 0.8, True),
        (lambda look: 9000.0 * 0.9**look, 0.8, False),  # they are learned
        (lambda look: 9000.0, 0.05, False),  # events: nothing spreads where none is
        (lambda look: [60.0, 900.0, 9000.0][look // 4 % 3], 0.8, False),  # a heavy tail
        (lambda look: 2000.0, 0.8, False),  # large, and no more
    ],
)
def test_targets_that_are_codes_among_numbers(most: Callable[[int], float], clean_deviation: float, told: bool) -> None:
    stream = train([80.0 + 20 * (step % 5) for step in range(1, 301)], constant=100.0)
    for look, step in enumerate(s for s in LOOKS if s <= 300):
        hit = look % 4 != 0
        row = {("batch_rows", ""): 100.0, ("row_loss_median", ""): 0.3}
        row |= {("row_loss_max", ""): most(look) if hit else 5.0}
        row |= {("target_deviation", ""): 9.5 if hit else clean_deviation, ("target_mean", ""): 0.9 if hit else 0.0}
        stream.row(step, "samples", row)
    found = stream.findings().get("bad-batch")
    assert (found is not None) == told
    if found is not None:
        assert found.severity == "warning" and "about 94.7 off" in found.cause


@pytest.mark.parametrize(("side", "id"), [(1, "bad-batch"), (-1, "opposing-outliers")])
def test_far_targets_on_both_sides_oppose_each_other(side: int, id: str) -> None:
    stream = train([80.0 + 20 * (step % 5) for step in range(1, 301)], constant=100.0)
    for look, step in enumerate(s for s in LOOKS if s <= 300):
        hit = look % 4 != 0
        row = {("batch_rows", ""): 100.0, ("row_loss_median", ""): 0.3, ("row_loss_max", ""): 9000.0 if hit else 5.0}
        row |= {("target_deviation", ""): 9.5 if hit else 0.8, ("target_mean", ""): 0.9 * side**look if hit else 0.0}
        stream.row(step, "samples", row)
    assert [found for found in stream.loud() if found in MINE] == [id]
    stream.event(2, "applied", id="skip-outliers", text="left no row out", count=0)
    assert id in stream.loud()
    stream.event(3, "applied", id="skip-outliers", text="left 9 rows out", count=9)
    assert id not in stream.loud() and stream.findings()[id].severity == "info"


def two_sided(sides: Sequence[int], rows_median: Callable[[int], float] = lambda look: 0.3) -> list[str]:
    """Looks of which every fourth is clean; the others have far targets, on one side each."""
    stream = train([80.0 + 20 * (step % 5) for step in range(1, 301)], constant=100.0)
    looks, hits = [s for s in LOOKS if s <= 300], 0
    for look, step in enumerate(looks):
        hit = look % 4 != 0
        mean = 0.9 * sides[hits % len(sides)] if hit else 0.0
        hits += hit
        row = {("batch_rows", ""): 100.0, ("row_loss_median", ""): rows_median(look) if hit else 0.3}
        row |= {("row_loss_max", ""): 9000.0 if hit else 5.0, ("target_mean", ""): mean}
        stream.row(step, "samples", row | {("target_deviation", ""): 9.5 if hit else 0.8})
    return [found for found in stream.loud() if found in MINE]


def test_far_targets_are_on_one_side_if_so_few_are_on_the_other_hardly_by_chance() -> None:
    assert two_sided([1, 1, 1, 1, 1, -1, 1, 1, -1, -1, -1]) == ["opposing-outliers"]  # one of eight first
    assert two_sided([1, 1, 1, 1, 1, 1, 1, -1, 1, 1]) == ["bad-batch"]


def test_far_targets_that_raise_the_loss_of_all_others() -> None:
    assert two_sided([1], lambda look: 3.0) == [
        "bad-batch"
    ]  # a thousand times the batch's own median, and 10,000 usual
    assert two_sided([1], lambda look: 30.0) == []  # these batches are bad as a whole


@pytest.mark.parametrize(
    ("size", "spread", "after", "told"),
    [(1.2, 0.02, 0.5, True), (1.2, 0.02, 1.2, False), (1.2, 0.1, 0.5, False), (0.7, 0.02, 0.5, False)],
    ids=["another size", "a new stage", "sizes differ anyway", "a little larger"],
)
def test_a_batch_of_another_size_than_many_that_were_alike(
    size: float, spread: float, after: float, told: bool
) -> None:
    stream = odd(4.0, sizes=size)
    for look, step in enumerate((1, 2, 4, 8, 16, 32, 48, 56)):
        stream.row(step, "inputs", {("input_rms", "fc"): 0.5 + spread * (look % 2)})
    stream.row(62, "inputs", {("input_rms", "fc"): after})
    assert ("bad-batch" in stream.findings()) == told


def test_data_that_are_not_finite() -> None:
    stream = train([2.3, 2.2, NAN, NAN], constant=LN10)
    stream.event(3, "nonfinite", kind="input", where="", operation="", value="nan")
    found = stream.findings()
    assert found["bad-batch"].severity == "critical" and found["non-finite"].because_of == "bad-batch"


# --- remedies ----------------------------------------------------------------------------------------------------

REMEDIES = [r for m in (batches, input_cures, inputs, loss_shape, loss_terms, odd_batches) for r in vars(m).values()
            if isinstance(r, Remedy)]  # fmt: skip


def world(remedy: Remedy) -> dict:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    loss_fn = nn.CrossEntropyLoss()
    names = {"model": model, "optimizer": torch.optim.SGD(model.parameters(), 0.1), "loss_fn": loss_fn}
    names["loss"] = loss_fn(model(torch.randn(5, 4)), torch.tensor([0, 1, 2, 0, 1]))
    exec(compile(remedy.how, remedy.name, "exec"), names)
    return names


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda r: r.name)
def test_snippets_say_where_they_go_and_run(remedy: Remedy) -> None:
    where, _, what = remedy.how.splitlines()[0].removeprefix("# ").partition(": ")
    assert (where == "after" and what in ("model", "optimizer", "loss")) or (where == "replace" and ast.parse(what))
    names = world(remedy)
    assert torch.isfinite(names["model"](torch.randn(5, 4))).all()


def test_what_the_snippets_do() -> None:
    model = world(input_cures.STANDARDISE)["model"]
    x = torch.randn(200, 4) * torch.tensor([1e4, 1.0, 1e-3, 1.0]) + 500
    seen: list[Tensor] = []
    model[0].register_forward_hook(lambda module, args, out: seen.append(args[0]))
    model(x)
    assert seen[0].mean(0).abs().max() < 0.1 and seen[0].std(0).max() == pytest.approx(1, rel=0.2)
    a, b = world(batches.SHUFFLE)["shuffled"](torch.arange(50), torch.arange(50))
    assert torch.equal(a, b) and not torch.equal(a, torch.arange(50))
    stream = world(stale.LOOP_OVER_LOADER)["batches"]([1, 2, 3])
    assert [next(stream) for _ in range(5)] == [1, 2, 3, 1, 2]
    names = {"loss_fn": F.mse_loss}
    exec(loss_shape.SAME_SHAPE.how, names)
    assert names["loss_fn"](torch.ones(5, 1), torch.arange(5.0)) == F.mse_loss(torch.ones(5), torch.arange(5.0))
    names = world(loss_terms.BALANCE)
    weight = names["model"][0].weight
    total = names["balanced"](1000 * weight[0].sum(), weight[1].square().sum())
    gradient = torch.autograd.grad(total, weight)[0]
    assert gradient[0].norm() == pytest.approx(gradient[1].norm().item())


# --- real training -----------------------------------------------------------------------------------------------


def mlp(wide: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, out))


def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


def drawn(x: Tensor, y: Tensor, steps: int, batch: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(steps):
        at = torch.randint(len(x), (batch,))
        yield x[at], y[at]


def in_order(x: Tensor, y: Tensor, steps: int, batch: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    parts = list(zip(x.split(batch), y.split(batch), strict=True))[:-1]
    for step in range(steps):
        yield parts[step % len(parts)]


def fit(stream: Iterator[tuple[Tensor, Tensor]], model: nn.Module, rate: float = 2e-3, loss=F.cross_entropy, sgd=False):
    optimizer = (torch.optim.SGD if sgd else torch.optim.Adam)(model.parameters(), rate)
    for x, y in stream:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


def found(loop: Callable[[], None], seed: int, every: int | None = 4) -> dict[str, Finding]:
    torch.manual_seed(seed)
    with watching(every) as seen:
        loop()
    assert not seen.of("note")
    engine = Engine()
    engine.feed_all(seen.rows, [Event(step, kind, data) for step, kind, data in seen.events])
    assert not engine.notes
    return {f.id: f for f in engine.findings if f.id in MINE and f.severity != "info"}


def unscaled(factor: float) -> None:
    x, y = digits()
    fit(drawn(x * factor, y, 120), mlp(64, 10), 0.05, sgd=True)


def tabular(scaled: bool) -> None:
    data = load_breast_cancer()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0) if scaled else x
    fit(drawn(x, torch.tensor(data.target), 150), mlp(30, 2), 0.01, sgd=True)


def ordered(by_class: bool) -> None:
    x, y = digits()
    order = y.argsort() if by_class else torch.randperm(len(y))
    fit(in_order(x[order], y[order], 120), mlp(64, 10))


def shapes(wrong: bool) -> None:
    data = load_diabetes()
    x, y = torch.tensor(data.data, dtype=torch.float32) * 20, torch.tensor(data.target, dtype=torch.float32)
    y = (y - y.mean()) / y.std()
    fit(drawn(x, y, 80), mlp(10, 1), loss=lambda p, t: F.mse_loss(p if wrong else p[:, 0], t))


def corrupted(at: int | None, what: str = "labels") -> None:
    x, y = digits()

    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        for step, (a, b) in enumerate(drawn(x, y, 200, 64)):
            bad = step == at
            yield (a * 300 if bad and what == "inputs" else a), ((b + 1) % 10 if bad and what == "labels" else b)

    fit(stream(), mlp(64, 10), 0.1 if what == "inputs" else 3e-3, sgd=what == "inputs")


def one_batch(again: bool) -> None:
    x, y = digits()
    loader = DataLoader(TensorDataset(x, y), 64, shuffle=not again)
    fit((next(iter(loader)) for _ in range(90)), mlp(64, 10))


def windows_of_a_text(again: bool) -> None:
    text = torch.randint(9, (3000,))
    model = nn.Sequential(nn.Embedding(9, 8), nn.Flatten(), nn.Linear(8 * 12, 9))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    generator = torch.Generator()
    for _ in range(100):
        if again:
            generator.manual_seed(1)
        rows = text[torch.randint(2900, (16, 1), generator=generator) + torch.arange(13)]
        loss = F.cross_entropy(model(rows[:, :-1]), rows[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def beside_an_embedding(at: int | None) -> None:
    place, net = nn.Embedding(5, 4), nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    model = nn.ModuleList([place, net])
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    for step in range(1, 101):
        x, where = torch.randn(32, 2), torch.randint(5, (32,))
        y = x.sum(1, keepdim=True)
        loss = F.smooth_l1_loss(net(torch.cat([place(where), x - 999.0 * (step == at)], 1)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def equation(weight: float, steps: int = 260) -> None:
    model = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    ends = torch.tensor([[0.0], [1.0]])
    for _ in range(steps):
        x = torch.rand(32, 1, requires_grad=True)
        u = model(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        bend = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
        residual = (weight * (bend + math.pi**2 * torch.sin(math.pi * x))).square().mean()
        loss = residual + (model(ends) - 3).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def planted(amplitude: float) -> None:
    x, y = digits()
    x = x - x.mean(0)
    for label in (3, 8):
        few = torch.nonzero(y == label)[:, 0][:45]
        x[few, ::8] += amplitude / math.sqrt(8)
    model = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 10))
    fit(((x, y) for _ in range(60)), model, 1.0, sgd=True)


LOOPS: dict[str, tuple[str, Callable[[], None], Callable[[], None], int]] = {
    "digits × 4096": ("unscaled-inputs", lambda: unscaled(4096.0), lambda: unscaled(1.0), 4),
    "raw table": ("unscaled-inputs", lambda: tabular(False), lambda: tabular(True), 4),
    "sorted by class": ("unshuffled-data", lambda: ordered(True), lambda: ordered(False), 4),
    "(n, 1) against (n,)": ("broadcast-loss", lambda: shapes(True), lambda: shapes(False), 4),
    "wrong labels": ("bad-batch", lambda: corrupted(150), lambda: corrupted(None), 4),
    "wrong inputs": ("bad-batch", lambda: corrupted(150, "inputs"), lambda: corrupted(None, "inputs"), 4),
    "one batch": ("stale-batch", lambda: one_batch(True), lambda: one_batch(False), 4),
    "one window of a text": ("stale-batch", lambda: windows_of_a_text(True), lambda: windows_of_a_text(False), 4),
    "beside an embedding": ("bad-batch", lambda: beside_an_embedding(70), lambda: beside_an_embedding(None), 4),
    "equation": ("loss-term-imbalance", lambda: equation(1000.0), lambda: equation(1.0), 10),
    "opposing": ("opposing-outliers", lambda: planted(16.0), lambda: planted(0.0), 1),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("seed", [0])  # more seeds, and more networks, are the clinic's
@pytest.mark.parametrize("name", LOOPS)
def test_faulty_loops_and_their_repaired_twins(name: str, seed: int) -> None:
    id, faulty, repaired, every = LOOPS[name]
    assert id in found(faulty, seed, every)
    assert found(repaired, seed, every) == {}


def groups_in_a_batch() -> None:
    x, y = digits()
    by = [x[y == c] for c in range(10)]
    rng = np.random.default_rng(0)

    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(80):
            classes = sorted(rng.choice(10, 4, replace=False))
            yield torch.cat([by[c][:8] for c in classes]), torch.tensor(classes).repeat_interleave(8)

    fit(stream(), mlp(64, 10))


def stages() -> None:
    x, y = digits()
    model = mlp(64, 10)
    fit(drawn(x[y < 5], y[y < 5], 60), model)
    fit(drawn(x, y, 80), model)


def real_and_fake() -> None:
    x, _ = digits()
    truth = torch.cat([torch.ones(32, 1), torch.zeros(32, 1)])
    fit(((torch.cat([x[i : i + 32], torch.rand(32, 64)]), truth) for i in range(80)), mlp(64, 1),
        loss=F.binary_cross_entropy_with_logits)  # fmt: skip


def through_a_normalisation() -> None:
    x, y = digits()
    fit(drawn(x * 255 * 16, y, 80), nn.Sequential(nn.BatchNorm1d(64), *mlp(64, 10)))


def penalised() -> None:
    x, y = digits()
    model = mlp(64, 10)
    fit(drawn(x, y, 240), model, loss=lambda p, t: F.cross_entropy(p, t) + 1e-4 * sum(
        (w**2).sum() for w in model.parameters()))  # fmt: skip


def all_at_once() -> None:
    x, y = digits()
    fit(((x[:200], y[:200]) for _ in range(90)), mlp(64, 10), 0.3, sgd=True)


@pytest.mark.parametrize(
    "loop", [groups_in_a_batch, stages, real_and_fake, through_a_normalisation, penalised, all_at_once]
)
def test_healthy_loops_that_look_alike(loop: Callable[[], None]) -> None:
    assert found(loop, 0) == {}
