"""``loss-term-imbalance`` among the outputs of one regression: the one of the largest scale is all that the loss sees.

A squared error is a sum over outputs. Where their targets stand in physical units (pascals beside efficiencies), the
output of a tenth of another's scale has a hundredth of its part in the loss, and in the gradient of all that they
share (Kendall, Gal, Cipolla 2018, arXiv 1705.07115, weigh outputs by their noise for that reason).
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy

_APART = 10.0  # of two outputs' scales: a hundred times in a squared error
_LEARNED, _UNLEARNED = 0.1, 0.8  # of what the means score: by all together, and by the one of which least is learned
_LOOKS, _STEPS = 6, 100

UNIT_OUTPUTS = Remedy(
    name="each output in a unit of its own",
    why="errors over each output's own deviation count alike, whatever unit it was measured in",
    how=(
        "# after: loss\n"
        "plain_loss, units = loss_fn, []\n"
        "def loss_fn(outputs, targets):  # better: the deviation of all training targets\n"
        "    if targets.dim() < 2 or not targets.is_floating_point():\n"
        "        return plain_loss(outputs, targets)\n"
        "    if not units:\n"
        "        units.append(targets.detach().std(0).clamp_min(1e-12))\n"
        "    return plain_loss(outputs / units[0], targets / units[0])\n"
    ),
)


def unheard_output(history: History) -> Sign | None:
    """At six looks over 100 steps, the newest half of them: outputs' scales are ten times apart, all together are down
    to a tenth of what their means score, and one is above eight tenths of its own: warning."""
    for name in history.wheres("output_spread"):
        columns = ("output_spread", "outputs_left", "output_left_most")
        steps, (spread, left, most) = history.together(*((column, name) for column in columns))
        late = 2 * steps >= history.step
        if late.sum() < _LOOKS or steps[late][-1] - steps[late][0] < _STEPS:
            continue
        apart, all_left, worst = (float(np.median(column[late])) for column in (spread, left, most))
        if not (apart >= _APART and all_left <= _LEARNED and worst >= _UNLEARNED):
            continue
        evidence = (
            Evidence("output_spread", name, int(steps[-1]), apart, _APART, "its square is their part in the loss"),
            Evidence("output_left_most", name, int(steps[-1]), worst, _UNLEARNED,
                     "of what its mean would score; all outputs together are down to a tenth"),
        )  # fmt: skip
        cause = (
            f"the outputs' targets are {apart:.3g} times apart in scale: all together are down to "
            f"{100 * all_left:.2g} % of what their means score, and one is at {100 * worst:.2g} % of that, for the "
            "loss hardly sees it."
        )
        return Sign("warning", cause, evidence, (name,) if name else (), int(steps[late][0]), (UNIT_OUTPUTS,))
    return None
