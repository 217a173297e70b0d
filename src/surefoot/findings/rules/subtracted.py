"""``divergence`` of a loss of which a classification loss is taken away: to forget some rows, to hide who made them.

To know nothing of a label is worth what a constant prediction scores, ln C at most for C classes. A model that scores
twice that is sure of what is wrong. Nobody asks for that, and nothing bounds it: what is subtracted grows for ever, and
takes with it what the model is to keep.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.term_cures import kind_of, weighed
from surefoot.runs.schema import Evidence

_KINDS = ("cross_entropy", "nll", "binary_cross_entropy")  # whose names say that ln C bounds what ignorance costs
_TIMES = 2.0  # what ignorance costs
_TENTH = 0.1
_SOURCE = "twice what a constant prediction scores, ln of the number of classes, and what it was at first"


def subtracted(history: History) -> Sign | None:
    """A term with a negative weight that is a classification loss is twice as high as that of ignorance and as at the
    first look, and higher than at the look before: warning."""
    if len(history.losses) != 1:
        return None
    ((name, level),) = history.losses.items()
    classes = [history.value("num_classes", where) for where in history.wheres("num_classes")]
    ignorance = max([level.constant, *map(math.log, (c for c in classes if c >= 2))])
    if not ignorance > 0:
        return None
    for term in history.wheres("term_weight"):
        steps, weights = history.measured("term_weight", term)
        if not any(kind in kind_of(term) for kind in _KINDS) or len(weights) < 2 or not (weights < 0).all():
            continue
        values = _values(history, name, term, steps) / weights
        values, steps = values[np.isfinite(values)], steps[np.isfinite(values)]
        if len(values) < 2 or steps[-1] != history.step:
            continue
        bound = _TIMES * max(ignorance, float(values[0]))
        if not values[-1] > max(bound, float(values[-2])):
            continue
        cause = (
            f"{term} is subtracted from the loss, and has grown to {values[-1]:.3g}, where to know nothing costs "
            f"{ignorance:.3g}: nothing bounds it from above, and what else is to be learned is lost to it."
        )
        evidence = Evidence("term_value / term_weight", term, int(steps[-1]), float(values[-1]), bound, _SOURCE)
        cure = replace(weighed(_TENTH, term), why="a tenth of it; better: -logsigmoid(loss - loss_before), which ends")
        return Sign("warning", cause, (evidence,), (name,) if name else (), int(steps[-2]), (cure,))
    return None


def _values(history: History, name: str, term: str, steps: np.ndarray) -> np.ndarray:
    """The term with its weight at each look: as it was read, or what the other terms leave of the loss."""
    found = dict(zip(*history.measured("term_value", term), strict=True))
    if found:
        return np.array([found.get(step, math.nan) for step in steps])
    rest = dict(zip(*history.measured("loss", name), strict=True))
    for other in history.wheres("term_weight"):
        if other != term:
            value = dict(zip(*history.measured("term_value", other), strict=True))
            rest = {step: loss - value.get(step, math.nan) for step, loss in rest.items()}
    return np.array([rest.get(step, math.nan) for step in steps])
