"""Harm that shows by itself, and what is told of the signals that changed when it began."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import Stream, falling, train
from surefoot.findings import Engine, rule
from surefoot.findings.harm import harms
from surefoot.findings.rule import _RULES, Sign, all_rules
from surefoot.findings.rules.what_changed import _MARKS
from surefoot.observe.rows import PER_LAYER, PER_OPTIMIZER, PER_PLACE, PER_RUN
from surefoot.runs import Evidence, Finding

TURN = 150  # the step at which all goes wrong


def printed(values: list[float], name: str = "val_error", every: int = 10, stream: Stream | None = None) -> Stream:
    stream = stream or Stream()
    for i, value in enumerate(values, 1):
        stream.row(every * i, "printed", {("printed_number", name): value})
    return stream


def turning(before: float = 0.2, after: float = 0.8, n: int = 15, m: int = 10, first: float = 1.0) -> list[float]:
    """An error that falls from ``first`` to ``before`` in ``n`` values, and is at ``after`` for ``m`` more."""
    return [*np.linspace(first, before, n), *([after] * m)]


def told(stream: Stream) -> dict[str, Finding]:
    """What is told by changes alone."""
    engine = Engine([r for r in all_rules() if r.beside])
    engine.feed_all(stream.rows())
    assert not engine.notes
    return {found.id: found for found in engine.findings}


def test_a_number_that_loses_what_it_gained():
    (harm,) = harms(printed(turning()).engine().history)
    assert (harm.signal, harm.name) == ("printed_number", "val_error")
    assert 130 <= harm.step <= harm.since <= 160
    assert harm.now == pytest.approx(0.8)
    assert harm.best == pytest.approx(0.2, abs=0.1)
    assert "val_error went from" in harm.words


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (turning(after=0.35), "val_error"),  # less than a quarter
        (turning(after=0.8, m=2), "val_error"),  # too new to last
        (turning(), "val_accuracy"),  # that is better
        (turning(), "learning_rate"),  # neither
        (turning()[:8], "val_error"),
        ([*turning(m=3), *turning(0.19, 0.21, 3, 9, 0.25)], "val_error"),  # over again
    ],
)
def test_what_is_no_harm(values, name):
    assert not harms(printed(values, name).engine().history)


def test_what_was_good_from_the_start_must_lose_half():
    assert harms(printed([0.7] * 10 + [0.3] * 6, "reward").engine().history)
    assert not harms(printed([0.7] * 10 + [0.4] * 6, "reward").engine().history)
    assert harms(printed([0.1] * 10 + [0.25] * 6).engine().history)
    assert not harms(printed([0.1] * 10 + [0.19] * 6).engine().history)


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 10**6))
def test_harm_has_no_scale_and_noise_is_none(scale, seed):
    rng = np.random.default_rng(seed)
    noise = 0.02 * rng.normal(size=25)
    found = harms(printed(list(scale * (np.array(turning()) + noise))).engine().history)
    assert len(found) == 1
    assert found[0].best < 0.5 * scale < found[0].now
    assert not harms(printed(list(scale * (1 + noise))).engine().history)


@given(st.lists(st.floats(0.5, 1.5), min_size=9, max_size=60))
def test_values_alike_are_no_harm(values):
    assert not harms(printed(values, "accuracy").engine().history)  # none is half of another's


def test_of_a_loss_a_policy_and_a_start_that_finds_its_feet():
    losses = [*falling(TURN, last=0.2, noise=0.01), *([1.8] * 60)]
    stream = Stream()
    for step, loss in enumerate(losses, 1):
        stream.row(step, "step", {("loss", ""): loss})
    (harm,) = harms(stream.engine().history)
    assert harm.signal == "loss"
    assert abs(harm.since - TURN) < 16
    stream.row(3, "policy", {("policy_entropy", ""): 1.0})
    assert not harms(stream.engine().history)
    early = Stream()
    for step, loss in enumerate([2.0, 1.5, 1.0, 0.5, 0.5, 0.5, *([1.8] * 60)], 1):
        early.row(step, "step", {("loss", ""): loss})
    assert not harms(early.engine().history)


@pytest.mark.parametrize(("after", "told"), [(0.7, False), (0.8, True)])
def test_units_that_saturate_as_those_of_networks_that_learn_well_do(after, told):
    loud = changing("saturated_share", "activations", "net", 0.05, after).loud()
    assert ("saturated-units" in loud) is told


def changing(signal: str, family: str, where: str, before: float, after: float, late: int = TURN) -> Stream:
    """A run that is evidently worse after step 150, and a signal that changes then, or later."""
    stream = printed(turning(m=20))
    for step in [*range(10, 60, 10), *range(60, 360, 20)]:
        stream.row(step, family, {(signal, where): before if step <= late else after})
    return stream


CHANGES = [
    (id, mark, before, after, less)
    for id, marks in _MARKS.items()
    for mark in marks
    for before, after, less in [
        {"share": (0.1, max(0.7, mark.least), 0.5), "grows": (1.0, 11.0, 9.0), "shrinks": (1.0, 0.09, 0.11)}.get(
            mark.way, (1, 1, 1)
        )
    ]
    if mark.family not in ("terms", "weights")  # which ask for more, see below
]


@pytest.mark.parametrize(("id", "mark", "before", "after", "less"), CHANGES, ids=lambda v: getattr(v, "signal", None))
def test_each_change_is_told_where_it_came_with_the_harm(id, mark, before, after, less):
    where = "net.0"
    found = told(changing(mark.signal, mark.family, where, before, after))
    assert found[id].severity == "warning"
    assert found[id].remedies
    assert found[id].detected_step > TURN
    assert any(other.says in found[id].cause for other in _MARKS[id])
    assert id not in told(changing(mark.signal, mark.family, where, before, less))
    assert id not in told(changing(mark.signal, mark.family, where, before, before))


@pytest.mark.parametrize(("creeps", "loud"), [(0.0, True), (0.4, False)])
def test_what_grew_while_the_number_was_as_good_as_at_its_best_did_no_harm(creeps, loud):
    """The error is at its best at step 60 and stays there to step 150, where the task changes."""
    stream = printed([*np.linspace(1.0, 0.2, 6), *([0.2] * 9), *([0.8] * 20)])
    for step in range(10, 360, 10):
        share = 0.05 + creeps * min(1, max(0, step - 60) / 90) if step <= TURN else 0.8
        stream.row(step, "activations", {("saturated_share", "net.0"): share})
    assert ("saturated-units" in told(stream)) == loud


@pytest.mark.parametrize(("gradient", "loud"), [(1e-2, True), (1e-4, True), (1e-9, False)])
def test_weights_that_stand_still_for_want_of_a_gradient_are_not_frozen(gradient, loud):
    """Steps of a thousandth of the weights under a gradient of 0.01: a rounding error is left at 6e-7."""
    stream = changing("unchanged_share", "frozen", "net.0", 0.0, 1.0)
    for step in range(10, 360, 10):
        well = step <= TURN
        stream.row(step, "gradients", {("gradient_rms", "net.0"): 1e-2 if well else gradient})
        stream.row(step, "updates", {("update_ratio", "net.0"): 1e-3 if well else 0.0})
    assert ("frozen-parameters" in told(stream)) == loud


def test_a_signal_of_each_mark_is_recorded_in_its_family():
    recorded = [PER_LAYER, PER_OPTIMIZER, PER_PLACE, PER_RUN, {"weights": ("learning_rate",)}]
    for marks in _MARKS.values():
        for mark in marks:
            assert any(mark.signal in families.get(mark.family, ()) for families in recorded)


def test_no_harm_no_change_is_told():
    stream = printed(turning(after=0.2, m=20))
    for step in range(10, 360, 10):
        stream.row(step, "inputs", {("input_rms", "net.0"): 1.0 if step <= TURN else 15.0})
        stream.row(step, "wiring", {("stale_gradient_share", ""): float(step > TURN)})
    assert not told(stream)


@pytest.mark.parametrize("falls_late", [False, True])
def test_a_rate_is_too_low_where_it_was_low_when_the_task_changed(falls_late):
    stream = printed(turning(m=20))
    for step in range(1, 351):
        low = step > (300 if falls_late else TURN)
        loss = 0.3 if step <= TURN else 1.5
        stream.row(step, "step", {("loss", ""): loss + 0.01 * (step % 3), ("learning_rate", ""): 1e-6 if low else 1e-2})
    assert ("learning-rate-too-low" in told(stream)) != falls_late


@pytest.mark.parametrize(("again", "told_of"), [(5e-3, True), (3e-3, False), (4e-5, False)])
def test_a_second_stage_may_not_leap_above_what_went_well(again, told_of):
    """The rate falls to a tenth while all goes well; a restart at what it began with is what schedules do."""
    stream = printed(turning(m=20))
    for step in range(1, 351):
        rate = 3e-3 * (1 - 0.9 * step / TURN) if step <= TURN else again
        stream.row(step, "step", {("loss", ""): 1.0, ("learning_rate", ""): rate})
    for step in range(160, 351, 20):
        stream.row(step, "weights", {("weight_norm", ""): 1.0})
    found = told(stream).get("learning-rate-too-high")
    assert (found is not None) == told_of
    if found:
        assert "at last" in found.cause and found.remedies


@pytest.mark.parametrize(
    ("last", "recalls", "loud"),
    [
        (1.0, [0.18] * 6 + [0.04] * 14, True),
        (0.5, [0.18] * 6 + [0.04] * 14, False),  # something is learned: another finding's
        (1.0, [0.18] * 20, False),  # no harm shows
        (1.0, [0.18] * 14 + [0.04] * 6, False),  # it went well for longer than it has gone wrong
    ],
)
def test_a_loss_that_stays_while_what_it_is_for_is_lost_is_stalled(last, recalls, loud):
    losses = falling(400, 1.0, last, 0.02)
    stream = printed(recalls, "recall", 20, train(losses, rate=0.01))
    assert ("stalled" in stream.loud()) == loud


@pytest.mark.parametrize(("bits", "longer", "loud"), [(7.0, 30.0, True), (7.0, 2.0, False), (5.0, 30.0, False)])
def test_a_gradient_that_grew_over_rollouts_as_harm_began(bits, longer, loud):
    """Afterwards nothing moves the states any more, and nothing grows: what was then is what is asked for."""
    losses = [*falling(100, 1.0, 0.1, 0.005), *([1.0] * 300)]
    stream = train(losses, elasticity=lambda step: longer if 100 < step <= 160 else 1.0)
    for step in range(80, 401, 20):
        length = step / 8
        rate = (bits if step <= 160 else 0.5) * np.log(2) / length
        stream.row(step, "recurrence", {("bptt_rate", "f"): rate, ("bptt_length", "f"): length})
    assert ("bptt-explosion" in stream.loud()) == loud


@pytest.mark.parametrize(("second", "told_of"), [("Adam", True), ("SGD", False)])
def test_the_rate_of_another_type_of_optimizer_is_no_leap(second, told_of):
    """A second stage, on another task, with a rate of ten times the first one's and more."""
    stream = printed(turning(m=20))
    for step in range(1, 351):
        stream.row(step, "step", {("loss", ""): 1.0, ("learning_rate", ""): 1e-3 if step <= TURN else 0.1})
    for step, kind in ((1, "Adam"), (TURN + 1, second)):
        stream.event(step, "optimizers", optimizers=[{"name": "", "type": kind, "parameters": 8, "defaults": {}}])
    for step in range(160, 351, 20):
        stream.row(step, "weights", {("weight_norm", ""): 1.0})
    engine = Engine([r for r in all_rules() if r.beside])
    engine.feed_all(stream.rows(), stream.events)
    assert ("learning-rate-too-high" in {found.id for found in engine.findings}) == told_of


def test_a_fit_by_heart_under_a_schedule_that_runs_out_is_no_low_rate():
    stream = printed(turning(m=20))
    for step in range(1, 351):
        rate = 1e-2 if step < TURN else 1e-6
        stream.row(step, "step", {("loss", ""): 1.0 / step, ("learning_rate", ""): rate})
    assert "learning-rate-too-low" not in told(stream)


@pytest.mark.parametrize(("own", "loud"), [(5.0, True), (1.0, False)])
def test_a_term_must_be_loud_as_well(own, loud):
    stream = printed(turning(m=20))
    for step in range(10, 360, 20):
        norms = {"mse_loss": 4.0, "penalty": 0.01 if step <= TURN else own}
        stream.row(step, "terms", {("term_gradient_norm", name): norm for name, norm in norms.items()})
    assert ("loss-term-imbalance" in told(stream)) == loud


def test_a_rule_beside_speaks_while_the_rule_itself_does_not():
    kept = dict(_RULES)
    try:
        sign = Sign("warning", "its own words", (Evidence("loss", "", 1, 1.0, 0.5, "test"),))
        beside = Sign("warning", "from beside", sign.evidence)
        rule("of-a-test", needs=("step",))(lambda history: sign if history.step > 5 else None)
        rule("of-a-test", needs=("step",), beside=True)(lambda history: beside)
        stream = Stream()
        for step in range(1, 10):
            stream.row(step, "step", {("loss", ""): 1.0})

        def cause(until: int) -> str:
            engine = Engine([r for r in all_rules() if r.id == "of-a-test"])
            engine.feed_all([r for r in stream.rows() if r[0] <= until])
            (found,) = engine.findings
            return found.cause

        assert cause(5) == "from beside"
        assert cause(9) == "its own words"
    finally:
        _RULES.clear()
        _RULES.update(kept)
