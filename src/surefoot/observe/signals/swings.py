"""Losses of one and the same batch at consecutive steps: the window in which opposing samples show."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from surefoot.analysis.outliers import LossChanges, OpposingVerdict, compute, judge, loss_changes, update
from surefoot.analysis.outliers.judge import LEAST_STEPS

WINDOW = 16


class Swings:
    """Keeps the last :data:`WINDOW` changes of a batch that comes at every step (full-batch training), and judges.

    A swing from step to step shows in consecutive steps only, so that a window begins anew after a gap or another
    batch.
    """

    LOOKS: ClassVar[int] = LEAST_STEPS + 2  # that a burst takes to fill the shortest window

    def __init__(self) -> None:
        self._changes: LossChanges | None = None
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._step = 0
        self._called = 0

    def add(self, step: int, hashes: np.ndarray, losses: np.ndarray, again: bool) -> OpposingVerdict | None:
        """Take in one batch; the verdict whenever another 8 consecutive changes have come."""
        order = np.argsort(hashes, kind="stable")
        hashes, losses = hashes[order], losses[order]
        follows = again and step == self._step + 1 and np.array_equal(hashes, self._hashes)
        self._step = step
        if not follows or not np.isfinite(losses).all():
            self._changes, self._hashes = None, hashes
        if len(hashes) < 2 or not np.isfinite(losses).all():
            return None
        if self._changes is None:
            self._changes = loss_changes(len(hashes), WINDOW)
        self._changes = update(self._changes, torch.from_numpy(losses))
        count = self._changes.count
        return judge(compute(self._changes)) if count and count % LEAST_STEPS == 0 else None

    def calls(self, step: int, again: bool, risen: float) -> bool:
        """Whether consecutive looks are worth their cost: the batch returns and losses go up as well as down.

        Once an octave of steps, so that a run which only looks that way is not looked at for ever.
        """
        if not again or not 0.05 <= risen <= 0.95 or step < 2 * self._called:
            return False
        self._called = step
        return True
