"""A layer told to stay as it was drawn, in the middle of a network that learns: one part of ``frozen-parameters``.

What is frozen on purpose has something to keep: it was learned before, or it is a fixed map that what is behind it
reads (a reservoir, random features), or it is most of the layers, between small parts that adapt them. A layer with the
very weights that torch draws, where layers before it, behind it and most of all learn, keeps nothing. Where the others
learn what there is to learn all the same, nobody misses it: it is told of a run that is over and far from fit.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.start import drawn
from surefoot.runs.schema import Evidence, Remedy

_STEPS = 64  # as for any other layer that never changes
_LOOKS = 3
_UNFIT = 1 / 3  # of a constant's loss: of ten networks whose middle was frozen the five without harm were all below
LET_LEARN = Remedy(
    name="requires_grad_(True)",
    why="what was drawn at random has nothing to keep; the optimizer holds it already",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:\n"
        '    for parameter in group["params"]:\n'
        "        parameter.requires_grad_(True)\n"
    ),
    apply=None,
)


def held_back(history: History) -> Sign | None:
    """Layers that an optimizer holds had ``requires_grad=False`` as a whole at the first looks and have had it at every
    one of the last three, after 64 steps; their weights are as torch draws them; layers with a gradient come before and
    after; most dense layers learn; and the run is over, with a third of a constant's loss left."""
    if not history.events("exit") or not any(v.known and v.share > _UNFIT for v in history.losses.values()):
        return None
    firsts, recent = history.first_layers("frozen_share"), history.recent_layers("frozen_share", _LOOKS)
    order = history.layers("gradient_share")
    if len(recent) < _LOOKS or history.step < _STEPS or order is None or not (recent[-1].values == 1).any():
        return None
    off = [n for n in recent[-1].names if all(row[n] == 1 for row in (*firsts, *recent))]
    learns = np.flatnonzero(order.values > 0)
    between = [n for i, n in enumerate(order.names) if len(learns) and n in off and learns[0] < i < learns[-1]]
    bad = [n for n in between if drawn(history, n)]
    dense = list(history.events("initialisation")[0].data["weight_variance"]) if bad else []
    if not bad or 2 * sum(n in off for n in dense) >= len(dense):
        return None
    source = "requires_grad is False, of weights as they were drawn; layers before and behind learn"
    evidence = tuple(Evidence("frozen_share", n, recent[-1].step, 1.0, 0.0, source) for n in bad[:4])
    cause = (
        f"{', '.join(bad[:3])}{', …' if len(bad) > 3 else ''} stay as they were drawn (requires_grad=False), while "
        "layers before and behind them learn: nothing was learned there that could be kept."
    )
    return Sign("warning", cause, evidence, tuple(bad), firsts[0].step, (LET_LEARN,))
