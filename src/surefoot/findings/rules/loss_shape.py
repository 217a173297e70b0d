"""``broadcast-loss``: predictions (n, 1) against targets (n,), which compares every prediction with every target.

The best a model can do then is to predict the targets' mean for all: the loss stops at their variance, whatever the
inputs say. A mean of products that were broadcast so (log-probabilities times advantages) is the mean of the ones times
the mean of the others, and says as little of which belongs to which.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy

_LOOKS = 2

SAME_SHAPE = Remedy(
    name="targets of the predictions' shape",
    why="each prediction is then compared with its own target",
    how=(
        "# after: loss\n"
        "from surefoot.losses import match_shapes\n"
        "plain_loss = loss_fn\n"
        "def loss_fn(predictions, targets):\n"
        "    return plain_loss(*match_shapes(predictions, targets))\n"
    ),
    apply="match-shapes",
)


@rule("broadcast-loss", needs=("samples",))
def broadcast_loss(history: History) -> Sign | None:
    """The loss takes more pairs than there are predictions or targets, at two looks. Warning; critical where the loss
    learns nothing."""
    for name in history.wheres("loss_expansion"):
        steps, times = history.series("loss_expansion", name)
        steps, times = steps[np.isfinite(times)], times[np.isfinite(times)]
        if len(times) < _LOOKS or not (times[-_LOOKS:] > 1).all():
            continue
        n = times[-1]
        evidence = Evidence("loss_expansion", name, int(steps[-1]), float(n), 1.0,
                            "each prediction belongs to one target; no matter of degree")  # fmt: skip
        cause = (
            f"the loss pairs each of {n:.0f} predictions with each of {n:.0f} targets or weights: shapes ({n:.0f}, 1) "
            f"and ({n:.0f},) broadcast to ({n:.0f}, {n:.0f}), so that the model can only learn what holds on average."
        )
        severity = "warning" if history.learned else "critical"
        return Sign(severity, cause, (evidence,), (name,) if name else (), int(steps[0]), (SAME_SHAPE,))  # type: ignore[arg-type]
    return None
