"""The cure of weights that only grow: how strong a decay holds them."""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.runs.schema import Remedy

_GROWTH, _FASTEST = 3.0, 0.1
_AROUND = (10**0.5, 0.1**0.5)


def decayed(history: History) -> Remedy:
    """A decay that lets weights grow to no more than three times their size at the start.

    Once it is fit, an adaptive optimiser goes on with steps as long as its first ones, a share r of the weights at the
    start: with a decay of κ a step they end at r/κ of that. κ is a tenth at most. Where weights have been growing by a
    share of themselves a step, twice that holds them.
    """
    strides = [s for pace in history.paces.values() for s in pace.first if s.rate > 0 and s.learning_rate > 0]
    if not strides:
        return remedies.weight_decay(0.1)
    share = max(strides[0].rate / _GROWTH, 2 * _growth(history))
    return remedies.weight_decay(min(share, _FASTEST) / strides[0].learning_rate)


def decays(history: History) -> tuple[Remedy, ...]:
    """The same, and others around it: how much of it serves what the script was written for, the script tells."""
    decay = decayed(history)
    strength = float(str(decay.apply).rpartition("=")[2])
    return remedies.best_of((decay,), *(str(remedies.weight_decay(strength * times).apply) for times in _AROUND))


def halved_each(history: History, steps: float) -> Remedy | None:
    """A decay that halves in so many steps what the loss does not hold up; None where no rate is known."""
    rates = [s.learning_rate for pace in history.paces.values() for s in pace.first if s.learning_rate > 0]
    return remedies.weight_decay(math.log(2) / max(1.0, steps) / rates[0]) if rates else None


def _growth(history: History) -> float:
    """The share of themselves that weights grow by at a step, over the newer half of the run so far."""
    shares = []
    for where in history.wheres("weight_norm"):
        steps, norms = history.series("weight_norm", where)
        steps, norms = steps[norms > 0], norms[norms > 0]
        half = len(steps) // 2
        if half and steps[-1] > steps[half] and np.isfinite(norms[-1] / norms[half]):
            shares.append(math.log(norms[-1] / norms[half]) / float(steps[-1] - steps[half]))
    return max(0.0, *shares, 0.0)
