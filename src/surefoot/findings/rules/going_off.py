"""A game of which nothing is known but what the script prints of it: that has got worse, and the players turn.

Not every game makes samples that could be compared with data: one estimates the parameters of a model, another finds a
saddle, a price, a worst case. What its author prints of it is then all that tells where it is.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.game_cures import cures_of_a_game
from surefoot.findings.turned import worse_than_at_first
from surefoot.runs.schema import Evidence


def goes_off(history: History, least: dict[str, float]) -> Sign | None:
    """At some look the players turned, as ``least`` says of each signal of a rotation, and a number with a known
    direction, which had got better, is worse than it was at first. One of the two is not enough: healthy games turn
    before they have found each other, and a number gets worse for many reasons."""
    rows = {signal: history.series(f"rotation_{signal}") for signal in least}
    steps, turns = rows["turns"]
    if len(history.losses) != 2 or any(len(at) != len(steps) for at, _ in rows.values()):
        return None
    holds = np.flatnonzero(np.all([values >= least[signal] for signal, (_, values) in rows.items()], axis=0))
    found = worse_than_at_first(history) if len(holds) else None
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
