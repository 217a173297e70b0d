"""Modules that had a gradient, run and are held as before, and get none any more: the graph was cut on the way.

A stage in which only a head learns has an optimiser of its own that holds nothing else, or tells its trunk that it
takes no gradient; players that take turns have an optimiser each.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence

_LOOKS, _BEFORE, _STEPS = 6, 3, 32
_ASIDES, _OF_RUN = 3, 0.25  # looks since which they were called; of the steps so far


def cut_later(history: History) -> Sign | None:
    """No gradient at the newest six looks or more, over 32 steps, after three with one, while others have theirs; under
    one optimiser, which holds them, though the gradient may have been that of an earlier stage. They run in each step;
    or, not the last of all, beside the steps alone, as three looks tell, over a quarter of the run: what they make
    is in use (of a head that is done with, nothing comes after it)."""
    if len(history.wheres("gradient_norm")) != 1:
        return None
    rows = history.recent_layers("gradient_share", 64)
    made = max((event.step for event in history.events("modules")), default=0)
    stage = max((event.step for event in history.events("optimizers")), default=0)
    rows = [row for row in rows if row.step >= made and row.names == rows[-1].names]
    if len(rows) < _BEFORE + _LOOKS or rows[-1].step != history.step:
        return None
    reached = np.array([row.values for row in rows])
    own = {row.step: row for row in history.recent_layers("called", 64)}
    cut = []
    for place, name in enumerate(rows[-1].names):
        had = np.flatnonzero(reached[:, place] > 0)
        since = [row for row in rows[had[-1] + 1 :] if row.step >= stage] if len(had) >= _BEFORE else []
        if len(since) < _LOOKS or since[-1].step - since[0].step < _STEPS:
            continue
        others = all(bool((row.values > 0).any()) for row in since)
        runs = all(own[row.step][name] == 1 for row in since if row.step in own)
        if not runs and since[-1].step - since[0].step >= _OF_RUN * history.step:
            runs = _called_aside(history, name) and bool((rows[-1].values[place + 1 :] > 0).any())
        if others and runs and all(row[name] == 0 for row in since):
            cut.append((name, since[0].step))
    if not cut:
        return None
    began = min(step for _, step in cut)
    names = tuple(name for name, _ in cut)
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    evidence = tuple(
        Evidence("gradient_share", name, history.step, 0.0, 0.0, f"none at each look since step {since}; it had one")
        for name, since in cut[:4]
    )
    cause = (
        f"{shown} run, and are held by the optimiser, and get no gradient any more since about step {began}: the graph "
        "is cut between them and the loss."
    )
    return Sign("warning", cause, evidence, names, began, (remedies.KEEP_GRAPH,))


def _called_aside(history: History, name: str) -> bool:
    """Whether a layer that gets no gradient was called all the same, between three looks at least, and never with a
    graph."""
    calls = [row[name] for row in history.recent_layers("aside_calls", 64)]
    return sum(n > 0 for n in calls) >= _ASIDES and not any(n < 0 for n in calls)
