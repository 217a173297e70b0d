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
_LOOKS, _STEPS = 8, 64


def far_inputs(history: History, cures: tuple[Remedy, ...]) -> Sign | None:
    """In the newest half of the steps, at eight looks over 64 of them: a quarter of the rows at most have inputs four
    times the median row's, carry half of the loss at three of four looks, and score worse than the best constant in the
    median: warning."""
    for name in history.wheres("far_loss_share"):
        steps, (rows, theirs, losses) = history.together(
            ("far_row_share", name), ("far_loss_share", name), ("loss", name)
        )
        late = (2 * steps >= history.step) & (rows > 0)
        steps, rows, theirs, losses = steps[late], rows[late], theirs[late], losses[late]
        if len(steps) < _LOOKS or steps[-1] - steps[0] < _STEPS:
            continue
        known = dict(zip(*history.measured("constant_loss", name), strict=True))
        constants = np.array([known.get(step, np.nan) for step in steps])
        guesses = losses * theirs / rows / constants
        if not (np.median(rows) <= _FEW and (theirs >= _HALF).mean() >= _MOST and np.nanmedian(guesses) >= 1):
            continue
        evidence = (
            Evidence("far_loss_share", name, int(steps[-1]), float(np.median(theirs)), _HALF,
                     f"half of the loss, by {100 * np.median(rows):.2g} % of the rows; median of {len(steps)} looks"),
            Evidence("loss of these rows / constant_loss", name, int(steps[-1]), float(np.nanmedian(guesses)), 1.0,
                     "a guess would do better: what they ask for is undone again and again"),
        )  # fmt: skip
        cause = (
            f"few rows rule the loss: {100 * np.median(rows):.2g} % of them have inputs more than four times as large "
            f"as the others', carry {100 * np.median(theirs):.0f} % of the loss, and are scored "
            f"{np.nanmedian(guesses):.3g} times as badly as by a guess after {history.step} steps."
        )
        return Sign("warning", cause, evidence, (name,) if name else (), int(steps[0]), cures)
    return None
