"""An activation that ends the model, in front of a distance to the targets, and lets no gradient of the error through.

A unit of a last ReLU that is 0 for every row is a target that is never learned, whatever the others do: no layer comes
after it that could do without. So are targets below 0, and beyond ±1 those behind a tanh, or 0 and 1 behind a sigmoid:
outputs move to the end of their range and stay there, with their error.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.progress import HEARD
from surefoot.findings.rule import Sign
from surefoot.findings.rules.term_cures import UNIT_TARGETS
from surefoot.runs.schema import Evidence, Remedy

_LOOKS, _APART, _A_QUARTER = 5, 8, 0.25  # looks; steps
_MUCH = 1 - HEARD

NO_LAST_ACTIVATION = Remedy(
    name="no activation behind the last layer",
    why="the error of every output then comes back as a gradient; where the range matters, softplus has a slope "
    "everywhere, and targets can be brought into the range of a tanh or sigmoid",
    how=(
        "# after: model\n"
        "import torch\n"
        "last = [(parent, name) for parent in model.modules() for name, child in parent.named_children()\n"
        "        if isinstance(child, (torch.nn.ReLU, torch.nn.Tanh, torch.nn.Sigmoid))][-1:]\n"
        "for parent, name in last:  # better: leave it away where the script builds the model\n"
        "    setattr(parent, name, torch.nn.Identity())\n"
    ),
)


_CURES = (NO_LAST_ACTIVATION, UNIT_TARGETS)


def dead(history: History) -> Sign | None:
    """One in ten of the outputs has been dead, at each look of the newest half of the run; and a quarter of these at
    least, in the middle of batches of which each has but few rows to tell it by, should not be 0: warning."""
    rows = history.layers("dead_share")
    if rows is None or len(history.losses) != 1:
        return None
    for name in history.wheres("dead_output_share"):
        steps, shares = _late(history, "dead_share", rows.names[-1])
        _, wrong = _late(history, "dead_output_share", name)
        if (
            not len(steps)
            or not len(wrong)
            or not shares.min() >= _MUCH
            or not np.median(wrong) >= _A_QUARTER * shares.min()
        ):
            continue
        source = "of the outputs: each is a target that is never learned, and what was made of the inputs is a tenth"
        evidence = (
            Evidence("dead_share", rows.names[-1], int(steps[-1]), float(shares.min()), _MUCH, source),
            Evidence("dead_output_share", name, history.step, float(np.median(wrong)),
                     float(_A_QUARTER * shares.min()), "a constant of their own would be better for so many"),
        )  # fmt: skip
        cause = (
            f"{100 * float(shares.min()):.3g} % of the model's outputs are 0 for every input, and not all of their "
            "targets are: no gradient passes the last ReLU of them."
        )
        return Sign("warning", cause, evidence, rows.names[-1:], int(steps[0]), _CURES)
    return None


def flat(history: History) -> Sign | None:
    """A tenth of the targets' spread is error at flat outputs, by the median of the looks of the newest half of the
    run, for batches differ in how many of their targets are far off: warning."""
    for name in history.wheres("saturated_error_share") if len(history.losses) == 1 else ():
        steps, shares = _late(history, "saturated_error_share", name)
        if not len(steps) or not np.median(shares) >= _MUCH:
            continue
        share, rows = float(np.median(shares)), history.layers("weight_rms")
        source = "of the targets' spread: a tenth is what makes a model better than a constant prediction"
        evidence = Evidence("saturated_error_share", name, int(steps[-1]), share, _MUCH, source)
        cause = (
            f"{100 * share:.3g} % of the targets' spread is error at outputs that are at the end of the last "
            "activation's range: targets are beyond it, and no gradient of that error comes back."
        )
        where = rows.names[-1:] if rows is not None else ()
        return Sign("warning", cause, (evidence,), where, int(steps[0]), _CURES)
    return None


def _late(history: History, signal: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The looks of the newest half of the run, if they are five that are eight steps apart; else none."""
    steps, shares = history.measured(signal, name)
    late = steps >= history.step / 2
    if not late.any() or 1 + int((np.diff(steps[late]) >= _APART).sum()) < _LOOKS:
        return steps[:0], shares[:0]
    return steps[late], shares[late]
