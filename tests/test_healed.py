"""A warning of what passed and left no mark is an info once the run has ended well."""

from __future__ import annotations

import numpy as np
import pytest

from histories import Stream, train
from surefoot.findings import Engine, Sign
from surefoot.findings.rule import Rule
from surefoot.runs import Evidence

STEPS = 400


def ended(
    losses: list[float], id: str = "learning-rate-too-high", until: int = 80, step: int = STEPS, **exit: object
) -> str:
    """The severity of a finding that a rule sees from step 60 to ``until``, after a run of these losses."""
    sign = Sign("warning", "steps were too long.", (Evidence("loss", "", 60, 2.0, 1.0, "test"),))
    engine = Engine([Rule(id, ("step",), lambda history: sign if 60 <= history.step <= until else None)])
    stream: Stream = train(losses)
    if step:
        stream.event(step, "exit", **{"code": 0, "exception": None, **exit})
    engine.feed_all(stream.rows(), stream.events)
    (found,) = engine.findings
    assert ("healed" in found.cause) == (found.severity == "info")
    return found.severity


def well(noise: float = 0.02) -> list[float]:
    return list(2.0 * np.exp(-np.arange(STEPS) / 100) + noise * np.random.default_rng(0).normal(size=STEPS) + 0.1)


def test_what_has_healed_is_an_info():
    assert ended(well()) == "info"


@pytest.mark.parametrize("id", ["missing-zero-grad", "exploding-gradient", "bad-batch", "dead-units"])
def test_a_fact_heals_by_no_good_end(id):
    assert ended(well(), id) == "warning"


@pytest.mark.parametrize(
    "options",
    [
        {"until": 220},  # in the newer half
        {"step": 0},  # the run goes on
        {"step": 200},  # it was continued
        {"code": 1},
        {"exception": "KeyboardInterrupt"},
    ],
)
def test_what_may_come_again_has_not_healed(options):
    assert ended(well(), **options) == "warning"


def test_losses_that_end_badly():
    assert ended([*well()[:350], *([1.0] * 50)]) == "warning"  # it rose again
    assert ended([3.0 + x for x in well()]) == "warning"  # half was never reached
    assert ended([x - 3.0 for x in well()]) == "warning"  # of a loss below zero that can't be said


@pytest.mark.parametrize(("errors", "severity"), [(np.geomspace(1, 0.1, 20), "info"), (np.full(20, 0.5), "warning")])
def test_players_that_went_in_circles_have_healed_where_the_result_is_best_at_the_end(errors, severity):
    sign = Sign("warning", "the two players go in circles.", (Evidence("rotation_turns", "", 60, 2.0, 1.0, "test"),))
    rule = Rule("adversarial-rotation", ("step",), lambda history: sign if 60 <= history.step <= 80 else None)
    engine, stream = Engine([rule]), train([0.5 + 0.1 * (-1) ** step for step in range(STEPS)])
    for number, error in enumerate(errors, 1):
        stream.row(20 * number, "printed", {("printed_number", "exploitability"): float(error)})
    stream.event(STEPS, "exit", code=0, exception=None)
    engine.feed_all(stream.rows(), stream.events)
    assert engine.findings[0].severity == severity


@pytest.mark.parametrize(
    ("evaluations", "severity"),
    [
        (
            [1.0, 1.2, 1.6, 2.0, 2.2, 2.3, *np.geomspace(0.9, 0.2, 10)],
            "info",
        ),  # the second stage brought what it lacked
        ([1.0, 1.2, 1.6, 2.0, 2.2, 2.3, *([1.1] * 10)], "warning"),  # fallen, but to no better than it had been
        ([1.0, 1.2, 2.0, 2.3, 0.5, 0.2], "warning"),  # too few to say
    ],
)
def test_a_validation_loss_that_rose_and_is_best_at_the_end(evaluations, severity):
    sign = Sign("warning", "it rises.", (Evidence("validation_loss", "mse_loss", 60, 2.0, 1.0, "test"),))
    rule = Rule("overfitting", ("step",), lambda history: sign if 60 <= history.step <= STEPS // 2 else None)
    # a training loss that a second stage raises says nothing against it
    engine, stream = Engine([rule]), train([*well()[: STEPS // 2], *([0.8] * (STEPS // 2))])
    for number, value in enumerate(evaluations, 1):
        at = number * STEPS // len(evaluations)
        stream.row(at, "validation", {("validation_loss", "mse_loss"): float(value)})
    stream.event(STEPS, "exit", code=0, exception=None)
    engine.feed_all(stream.rows(), stream.events)
    assert engine.findings[0].severity == severity
