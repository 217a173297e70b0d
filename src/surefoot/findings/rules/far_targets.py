"""``opposing-outliers`` by targets: few rows ask for what is far above all others, or far below.

A squared error pulls as hard as it is large, so that few such rows outweigh all the rest; as they pull both ways, what
one step gives them the next takes back. Nothing of their inputs need be odd, and no batch need be free of them: their
targets alone tell, in units of what the others scatter by. Heavy tails do not carry as much: of t with three degrees of
freedom a third of the variance is as far out. A loss that learns them, or that counts errors by their size, is none.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign
from surefoot.findings.rules.far_rows import of_rows, robust
from surefoot.runs.schema import Evidence

_FEW, _MOST = 0.1, 0.75  # of the rows; of the loss
_UNLEARNED = 0.5  # of what a constant scores
_BOTH = 0.25  # of them on either side
_LOOKS, _STEPS = 3, 64  # as for far inputs
_DEVIATIONS = 4.0  # of a count, if the rows are drawn at random
_ROWS = 12  # of them: of one side's, a quarter are on the other once in fifty times if one in twenty is


def far_targets(history: History) -> Sign | None:
    """A tenth of all rows at most, and of no batch more than chance makes of it, have targets beyond Tukey's outer
    fences, a quarter of those or more on either side, twelve at least; in the newest half of the steps, at three looks
    with such rows over 64 of them, they carry three quarters of the loss, and half or more is left of what a constant
    scores on them in the median: warning."""
    for name in history.wheres("far_target_share"):
        columns = ("far_target_share", "far_target_loss_share", "loss", "batch_rows")
        steps, (rows, theirs, losses, counts) = history.together(*((c, name) for c in columns))
        far = rows * counts
        if far.sum() < _ROWS or far.sum() > _FEW * counts.sum():
            continue
        if (rows > _FEW + _DEVIATIONS * np.sqrt(_FEW * (1 - _FEW) / counts)).any():
            continue  # no fixed few: targets that a model makes, say, which spread as it learns
        sides = dict(zip(*history.measured("far_target_above", name), strict=True))
        above = float(sum(n * sides.get(step, 0.0) for step, n in zip(steps, far, strict=True)) / far.sum())
        late = 2 * steps >= history.step
        own, unlearned = history.measured("far_target_unlearned", name)
        own, unlearned = own[2 * own >= history.step], unlearned[2 * own >= history.step]
        if len(own) < _LOOKS or own[-1] - own[0] < _STEPS or not losses[late].sum() > 0:
            continue
        share, left = float((losses * theirs)[late].sum() / losses[late].sum()), float(np.median(unlearned))
        if not (share >= _MOST and left >= _UNLEARNED and _BOTH <= above <= 1 - _BOTH):
            continue
        few = 100 * float(far.sum() / counts.sum())
        evidence = (
            Evidence("far_target_loss_share", name, int(steps[-1]), share, _MOST,
                     f"three quarters of the loss, by {few:.2g} % of the rows; of {int(late.sum())} looks"),
            Evidence("far_target_above", name, int(steps[-1]), above, _BOTH, "a quarter on either side at least"),
            Evidence("far_target_unlearned", name, int(own[-1]), left, _UNLEARNED, "half of what a constant scores"),
        )  # fmt: skip
        cause = (
            f"few rows rule the loss: the targets of {few:.2g} % are far beyond the others', on both sides, and "
            f"carry {100 * share:.0f} % of the loss, {left:.2g} of a constant's after {history.step} steps. "
            "Look at these targets: other units, codes, mistakes?"
        )
        middles = history.measured("row_loss_median", name)[1][-_LOOKS:]
        cures = best_of((robust(3 * float(np.median(middles)) ** 0.5), remedies.CLIP)) if len(middles) else ()
        return Sign(of_rows(history), cause, evidence, (name,) if name else (), int(steps[0]), cures)
    return None
