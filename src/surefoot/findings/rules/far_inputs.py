"""``opposing-outliers`` where batches are drawn anew: the few rows with far-off inputs are most of the loss, for good.

The pull of a row on the layers that its inputs enter grows with their size, and rows that share a strong feature share
its pull (Rosenfeld and Risteski 2024, arXiv 2311.04163): what is a short step for all others throws these from one
answer to the other. No row comes twice in a row then, and no swing of one row can be followed; but they score worse
than a guess look after look, and half of the loss is theirs.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy

_FEW, _HALF, _MOST = 0.25, 0.5, 0.75  # of the rows; of the loss; of the looks
_LOOKS, _STEPS = 3, 64
_ROWS = 32  # of them in all looks: their mean loss is known to a fifth then, where it scatters by itself
_GUESS = 0.9  # of the best constant: rows that nothing is known of score 1


def far_inputs(history: History, cures: tuple[Remedy, ...]) -> Sign | None:
    """In the newest half of the steps, at three looks over 64 of them with 32 such rows: a quarter of the rows at most
    have inputs four times the median row's, carry half of the loss at three of four looks, and score as badly as the
    best constant in the median, or worse: warning."""
    for name in history.wheres("far_loss_share"):
        columns = ("far_row_share", "far_loss_share", "loss", "batch_rows")
        steps, (rows, theirs, losses, counts) = history.together(*((column, name) for column in columns))
        late = (2 * steps >= history.step) & (rows > 0)
        steps, rows, theirs, losses, counts = (column[late] for column in (steps, rows, theirs, losses, counts))
        if len(steps) < _LOOKS or steps[-1] - steps[0] < _STEPS or (rows * counts).sum() < _ROWS:
            continue
        known = dict(zip(*history.measured("constant_loss", name), strict=True))
        constants = np.array([known.get(step, np.nan) for step in steps])
        guesses = losses * theirs / rows / constants
        if not (np.median(rows) <= _FEW and (theirs >= _HALF).mean() >= _MOST and np.nanmedian(guesses) >= _GUESS):
            continue
        evidence = (
            Evidence("far_loss_share", name, int(steps[-1]), float(np.median(theirs)), _HALF,
                     f"half of the loss, by {100 * np.median(rows):.2g} % of the rows; median of {len(steps)} looks"),
            Evidence("loss of these rows / constant_loss", name, int(steps[-1]), float(np.nanmedian(guesses)), _GUESS,
                     "a guess would do as well: what they ask for is undone again and again"),
        )  # fmt: skip
        cause = (
            f"few rows rule the loss: {100 * np.median(rows):.2g} % of them have inputs more than four times as large "
            f"as the others', carry {100 * np.median(theirs):.0f} % of the loss, and are scored "
            f"{np.nanmedian(guesses):.3g} times as badly as by a guess after {history.step} steps."
        )
        return Sign("warning", cause, evidence, (name,) if name else (), int(steps[0]), cures)
    return None
