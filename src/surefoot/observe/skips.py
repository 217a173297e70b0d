"""Steps that a gradient scaler skipped: counted at every step, whether it is looked at or not."""

from __future__ import annotations

import math
from typing import Any


class Skips:
    """Counts steps that were asked for and did not come."""

    def __init__(self) -> None:
        self.total = self.taken = self.in_a_row = 0

    def scaled(self, skipped: bool) -> bool:
        """One step was taken or skipped; whether it is time to tell: at 1, 2, 4, 8, … skipped steps, and at 24, 32, 64,
        128, … in a row."""
        if not skipped:
            self.taken += 1
            self.in_a_row = 0
            return False
        self.total += 1
        self.in_a_row += 1
        row = self.in_a_row
        return self.total & (self.total - 1) == 0 or row == 24 or (row >= 32 and row & (row - 1) == 0)

    def facts(self, scaler: Any) -> dict[str, Any]:
        """What is known without asking a device.

        ``scale_bound``: the scale is at most init · growth^(taken/interval) · backoff^skipped, for it grows once in
        ``interval`` good steps in a row and shrinks with each skipped one.
        """
        interval = max(1, int(scaler.get_growth_interval()))
        log2 = (
            math.log2(scaler._init_scale)
            + self.taken / interval * math.log2(scaler.get_growth_factor())
            + self.total * math.log2(scaler.get_backoff_factor())
        )
        return {
            "total": self.total,
            "in_a_row": self.in_a_row,
            "taken": self.taken,
            "scale_bound": 2.0 ** max(-1000.0, min(1000.0, log2)),
            "growth_interval": interval,
        }
