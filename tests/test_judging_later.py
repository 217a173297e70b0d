"""When a run is judged: at once where somebody is told, else when the budget has it to spare, or much waits."""

from __future__ import annotations

import numpy as np
import pytest

from surefoot.monitor import session
from surefoot.monitor.session import Session
from surefoot.runs import Family, open_run

LOSS = Family("step", (("loss", ""), ("learning_rate", "")))


def rising(watched: Session, steps: range) -> None:
    """Losses that leave all that they began with."""
    for step in steps:
        watched.row(step, LOSS, np.array([1.0 if step < 20 else 50.0 * step, 0.1], np.float32))


@pytest.fixture
def watched(tmp_path):
    opened = []

    def make(**options) -> Session:
        opened.append(Session(tmp_path / "run", script="train.py", **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close(report=False)


def test_nobody_is_told_so_it_waits_and_is_there_when_asked_for(watched):
    run = watched()
    rising(run, range(1, 60))
    run.flush()
    assert run.engine.history.step == 0
    assert "divergence" in [found.id for found in run.findings]
    assert run.engine.history.step == 59


def test_what_waits_is_judged_at_the_end_and_committed_before(watched, tmp_path):
    run = watched()
    rising(run, range(1, 60))
    run.flush()
    assert len(open_run(tmp_path / "run").frame("loss")) == 59
    run.close(report=False)
    assert "divergence" in [found.id for found in open_run(tmp_path / "run").findings]


def test_whoever_is_to_be_told_is_told_at_once(watched):
    told = []
    run = watched(on_finding=told.append)
    rising(run, range(1, 60))
    run.flush()
    assert "divergence" in [found.id for found in told]


def test_a_budget_with_enough_to_spare_or_much_that_waits(watched, monkeypatch):
    run = watched()
    rising(run, range(1, 30))
    run.budget.steps_taken(100, 1e4)
    run.flush()
    assert run.engine.history.step == 29
    run.budget.spent = 1e9
    rising(run, range(30, 40))
    run.flush()
    assert run.engine.history.step == 29
    monkeypatch.setattr(session, "MOST_WAITING", 15)
    rising(run, range(40, 50))
    run.flush()
    assert run.engine.history.step == 49
