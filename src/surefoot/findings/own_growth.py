"""Weights that grow by a share of themselves at each step, which no gradient makes them do.

A descent moves mostly across the weights, for a loss says little of their length: what it adds to that is a fixed
length a step at most, so that its share of the weights falls as they grow. A share that stays what it was while they
became three times as long, and that is most of the step, is an update along the weights themselves, such as a decay
with its sign turned; such growth has no end.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History

_TIMES, _STEPS, _PARTS = 3.0, 64, 4
_SAME = 1.25  # times the mean share, at most, in each quarter of the run; and no less than one over that
_MOST = 2 / 3  # of the length of a step


def own_growth(history: History, where: str) -> tuple[float, float] | None:
    """The share of themselves that weights have grown by at each step of the run, and by how much in all; None where
    they have not, or not by themselves."""
    if not math.isfinite(history.value("weight_norm", where, history.step)):
        return None
    steps, norms = history.measured("weight_norm", where)
    if not norms[0] > 0 or norms[-1] < _TIMES * norms[0] or steps[-1] - steps[0] < _STEPS:
        return None
    mean = math.log(norms[-1] / norms[0]) / float(steps[-1] - steps[0])
    ends = np.searchsorted(steps, np.linspace(steps[0], steps[-1], _PARTS + 1))
    if len(set(ends.tolist())) <= _PARTS or not (norms[ends] > 0).all():
        return None
    shares = np.diff(np.log(norms[ends])) / np.diff(steps[ends])
    if shares.max() > _SAME * mean or shares.min() < mean / _SAME:
        return None
    moved, lengths = history.measured("update_norm", where)
    lengths = lengths[np.isin(moved, steps)]
    if len(lengths) != len(norms) or mean < _MOST * float(np.median(lengths / norms)):
        return None
    return mean, float(norms[-1] / norms[0])
