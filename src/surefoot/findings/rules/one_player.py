"""One player of a game whose schedule is over while the other goes on: it stands still, and is played against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefoot.findings.history import History
from surefoot.findings.rates import FALLEN
from surefoot.findings.rule import Sign
from surefoot.findings.rules.schedule_cures import schedule_for, step_every
from surefoot.runs.schema import Evidence, Remedy

_FEWEST = 64  # steps, as for any other schedule
_STAYED = 1.25  # times the steps of the fall to a hundredth
OFTENER = 2.0  # calls of a scheduler to a step of its optimiser: batches whose gradients are gathered were counted
_ALONE = "a hundredth of what the other player has of its own highest rate, for a fifth of the run"


def one_player_over(history: History, facts: list[Mapping[str, Any]]) -> Sign | None:
    """A player that no longer steps answers nothing: the other one goes on against what it was."""
    if len(history.rates) < 2 or not history.wheres("generated_spread"):
        return None
    shares = {name: level.newest / level.peak for name, level in history.rates.items() if level.peak > 0}
    for name, share in shares.items():
        level, other = history.rates[name], max(shares, key=lambda player: shares[player])
        began = level.fallen_step
        if began is None or history.step < max(_STAYED * began, began + _FEWEST) or share > FALLEN * shares[other]:
            continue
        evidence = (
            Evidence("learning_rate, over its highest", name, history.step, share, FALLEN * shares[other], _ALONE),
        )
        cause = (
            f"the learning rate of {name} fell from {level.peak:.3g} to {level.newest:.2g} and that of {other} did "
            f"not: since step {began} one player stands still, and the other plays against what it was then."
        )
        # no loss of a game tells which is better: first the one that is meant by how often the other's is called
        cures = (*_as_often(history, facts, name), schedule_for(history.step))
        return Sign("warning", cause, evidence, (name,), began, cures)
    return None


def _as_often(history: History, facts: list[Mapping[str, Any]], name: str) -> tuple[Remedy, ...]:
    """The scheduler of ``name`` moves as often as the others', if it is called twice as often at least."""
    mine = theirs = 0.0
    for found in facts:
        steps, counts = history.measured("scheduler_steps", found["name"])
        often = float(counts[-1]) / float(steps[-1]) if len(steps) and not found["inner"] else 0.0
        # whose one is that was made before its optimizer stepped is not known at first
        mine, theirs = (max(mine, often), theirs) if found["optimizer"] == name else (mine, max(theirs, often))
    return (step_every(max(1, round(1 / theirs))),) if mine >= OFTENER * theirs > 0 else ()
