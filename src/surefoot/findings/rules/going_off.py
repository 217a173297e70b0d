"""A game of which nothing is known but what the script prints of it: that has got worse, and the players turn.

Not every game makes samples that could be compared with data: one estimates the parameters of a model, another finds a
saddle, a price, a worst case. What its author prints of it is then all that tells where it is.
"""

from __future__ import annotations

import numpy as np

from surefoot.analysis.printed_numbers import direction
from surefoot.findings.harm import turned_late
from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.game_cures import cures_of_a_game
from surefoot.findings.turned import Turned, worse_than_at_first
from surefoot.runs.schema import Evidence

_OUTWARD, _LOOKS = 4.0, 3  # times as long as 16 looks before


def goes_off(history: History, least: dict[str, float]) -> Sign | None:
    """At some look the players turned, as ``least`` says of each signal of a rotation, or at three looks in a row their
    joint gradient was four times as long as 16 looks before, in a plane that holds its energy and that both have a
    share in; and a number with a known direction, which had got better, is worse than it was at first. One of the two
    is not enough: healthy games turn before they have found each other, and a number gets worse for many reasons."""
    rows = {signal: history.series(f"rotation_{signal}") for signal in least}
    steps, turns = rows["turns"]
    if len(history.losses) != 2 or any(len(at) != len(steps) for at, _ in rows.values()):
        return None
    holds = np.flatnonzero(np.all([values >= least[signal] for signal, (_, values) in rows.items()], axis=0))
    outward = _outward(rows, least)
    found = worse_than_at_first(history) if len(holds) else None
    if found is None and outward is not None:
        late = turned_late(history)
        worse = late is not None and direction(late.name) * (late.now - late.first) < 0
        return _spiral(history, rows, outward, late) if late is not None and worse else None
    if found is None:
        return None
    last, first = int(holds[-1]), max(0, int(holds[-1]) - 15)
    evidence = (
        Evidence("rotation_turns", "", int(steps[last]), float(turns[last]), least["turns"],
                 "a gradient that leads somewhere does not turn round (Rosca et al. 2021: interaction terms)"),
        Evidence("printed_number", found.name, history.step, found.now, found.first,
                 "its own first value, after it had been better than that"),
    )  # fmt: skip
    cause = (
        f"the two players go in circles, and outward: by step {steps[last]} the gradient of both had made "
        f"{turns[last]:.2g} turns in 16 looks, and what the script prints as {found.name}, {found.first:.3g} at first "
        f"and {found.best:.3g} at step {found.step}, has gone back to {found.now:.3g}."
    )
    period = float(steps[last] - steps[first]) / float(turns[last])
    return Sign("warning", cause, evidence, (), found.step, cures_of_a_game(history, period))


def _outward(rows: dict[str, tuple[np.ndarray, np.ndarray]], least: dict[str, float]) -> int | None:
    """The place of the last of three looks in a row at which the joint gradient grew so."""
    inside = np.all([rows[signal][1] >= least[signal] for signal in ("share", "balance")], axis=0)
    grows = inside & (rows["growth"][1] >= _OUTWARD)
    three = np.flatnonzero(grows[2:] & grows[1:-1] & grows[:-2]) if len(grows) >= _LOOKS else np.empty(0, np.int64)
    return int(three[-1]) + 2 if len(three) else None


def _spiral(history: History, rows: dict[str, tuple[np.ndarray, np.ndarray]], at: int, found: Turned) -> Sign:
    step, growth = int(rows["growth"][0][at]), float(rows["growth"][1][at])
    evidence = (
        Evidence("rotation_growth", "", step, growth, _OUTWARD, "a game that comes to rest has shorter ones"),
        Evidence("printed_number", found.name, history.step, found.now, found.first,
                 "its own first value, after it had been better than that"),
    )  # fmt: skip
    cause = (
        f"the two players drive each other outward: by step {step} the gradient of both had become {growth:.3g} times "
        f"as long in 16 looks, and what the script prints as {found.name}, {found.first:.3g} at first and "
        f"{found.best:.3g} at step {found.step}, has gone back to {found.now:.3g}."
    )
    return Sign("warning", cause, evidence, (), found.step, cures_of_a_game(history))
