"""A choice that was rounded to certainty early in the run: a part of ``softmax-collapse``.

A gate, a selector or a soft decision learns through the slope of its softmax. Where a row is one and zeros exactly, no
gradient comes back: what was chosen then is what it will be. A temperature that falls, or scores that grow, bring every
choice there in the end, and that may be meant; not in the first part of a run of which the rest still learns.
"""

from __future__ import annotations

from surefoot.findings.history import History
from surefoot.findings.progress import fit
from surefoot.findings.rule import Sign
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import Evidence, Remedy

_CERTAIN, _FREE = 0.5, 0.5  # of the rows; of a free choice's entropy, which it once had
_EARLY, _LOOKS, _STEPS = 0.25, 4, 64  # of the run so far; looks and steps that it has lasted
_SOURCE = "a row of which one probability is rounded to 1 passes no gradient to its scores (Prieto et al. 2025)"

WARMER = Remedy(
    name="a temperature with a floor",
    why="scores that differ by a few nats leave every choice some gradient, until it is known which is good",
    how=(
        "# after: model\n"
        "def choose(scores, temperature, largest=4.0):  # in the place of softmax(scores / temperature)\n"
        "    scores = scores / temperature\n"
        "    return (scores * (largest / scores.detach().abs().max().clamp_min(largest))).softmax(-1)\n"
    ),
    apply="attention-cap:tau=4",
)


def frozen_choice(history: History) -> Sign | None:
    """Half of the rows of a choice have had a probability of exactly 1 since the first quarter of the run, at four
    looks and for 64 steps at least, after it had been a choice (half of a free one's entropy, or no look at all
    before), and the loss is not fit."""
    if fit(history):
        return None
    for name in history.wheres("choice_certain_share"):
        steps, certain = history.measured("choice_certain_share", name)
        at = unbroken_from(certain >= _CERTAIN)
        if len(steps) - at < _LOOKS or steps[-1] != history.step or history.step - steps[at] < _STEPS:
            continue
        began = int(steps[at])
        first = next((row for row in history.first_layers("choice_entropy") if row[name] == row[name]), None)
        chose = first is not None and (first[name] >= _FREE or first.step == began)
        if began > _EARLY * history.step or not chose:
            continue
        evidence = Evidence("choice_certain_share", name, int(steps[-1]), float(certain[-1]), _CERTAIN, _SOURCE)
        cause = (
            f"the choice by {name} has been rounded to certainty since step {began}: {100 * certain[-1]:.3g} % of its "
            "rows have a probability of exactly 1, and no gradient tells it of anything better."
        )
        return Sign("warning", cause, (evidence,), (name,), began, (WARMER,))
    return None
