"""Leave out the step of a batch that is far outside the run's own past.

A corrupt batch (broken inputs, shuffled labels, NaN) is known by its loss or its gradient: larger than the largest of
the past by several times the past's own range. That is a statement on the run's history alone, so it has no unit and
no threshold to tune to a task. Large runs skip such batches by hand (Chowdhery et al. 2022, arXiv 2204.02311, section
5.1, restart before a spike and leave out the data around it).
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

_PAST = 8  # values that make a past; before, only what is not finite is refused
_SHARE = 8


class OutlierGate:
    """Says of each new value of a series whether it is far above its past.

    Of the last ``window`` values that passed, with median m and maximum M, it must exceed m + factor · (M − m), and
    m + (factor − 1) · |m| where these are nearly constant, and the median of the run's first values: a run knows
    nothing at its start, and what is no worse than that does no harm. After ``patience`` refusals in a row, or an
    eighth of the values that make the past (one bad file gives many bad batches), the data have changed for good, and
    the past begins anew.

    Parameters
    ----------
    factor : times the past's own range above its median
    window : values that make the past
    patience : refusals in a row, at the least

    Raises
    ------
    ValueError
        If ``factor`` is not above 1, ``window`` below 8 or ``patience`` below 1.

    Examples
    --------
    >>> gate = OutlierGate()
    >>> all(gate.passes(1.0 + 0.1 * (i % 3)) for i in range(20)), gate.passes(9.0), gate.passes(1.1)
    (True, False, True)
    """

    def __init__(self, factor: float = 3.0, window: int = 128, patience: int = 8) -> None:
        if not (math.isfinite(factor) and factor > 1):
            raise ValueError(f"factor: got {factor}; use a number above 1, such as 3")
        if window < _PAST or patience < 1:
            raise ValueError(f"window, patience: got {window} and {patience}; use at least {_PAST} and 1")
        self.factor, self.patience = factor, patience
        self._past: deque[float] = deque(maxlen=window)
        self._first: list[float] = []
        self._refused = 0

    def passes(self, value: float) -> bool:
        """Whether ``value`` belongs to the series so far; one that does becomes part of its past."""
        if not math.isfinite(value):
            return False
        if len(self._past) >= _PAST and value > self.limit:
            self._refused += 1
            if self._refused < max(self.patience, len(self._past) // _SHARE):
                return False
            self._past.clear()
            self._first.clear()
        self._refused = 0
        self._past.append(value)
        if len(self._first) < _PAST:
            self._first.append(value)
        return True

    @property
    def limit(self) -> float:
        """The largest value that passes now; inf while there is too little past."""
        if len(self._past) < _PAST:
            return math.inf
        usual = median(self._past)
        by_range = usual + self.factor * (max(self._past) - usual)
        by_size = usual + (self.factor - 1) * abs(usual)
        return max(by_range, by_size, median(self._first))


class BadBatchGate:
    """Says whether a step may be taken, by its loss and by the norm of its gradient.

    Parameters
    ----------
    factor, window, patience : see :class:`OutlierGate`

    Examples
    --------
    >>> gate = BadBatchGate()
    >>> # for x, y in batches:
    >>> #     loss = ...; loss.backward()
    >>> #     if gate.passes(loss=float(loss), norm=float(clip_grad_norm_(model.parameters(), 1.0))):
    >>> #         optimizer.step()
    >>> gate.passes(loss=float("nan"))
    False
    """

    def __init__(self, factor: float = 3.0, window: int = 128, patience: int = 8) -> None:
        self._loss = OutlierGate(factor, window, patience)
        self._norm = OutlierGate(factor, window, patience)
        self.reasons: list[tuple[str, float, float]] = []
        """Why the newest step was refused: what, its value, and the largest that would have passed."""

    def passes(self, *, loss: float | None = None, norm: float | None = None) -> bool:
        """Whether neither is far outside its past; what is not given is not judged."""
        self.reasons = []
        for name, gate, value in (("loss", self._loss, loss), ("gradient_norm", self._norm, norm)):
            limit = gate.limit
            if value is not None and not gate.passes(value):
                self.reasons.append((name, value, limit))
        return not self.reasons
