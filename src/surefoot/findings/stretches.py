"""Since when something holds, as the looks at it tell."""

from __future__ import annotations

import numpy as np


def unbroken_from(holds: np.ndarray) -> int:
    """The place where the newest unbroken stretch begins in which something holds: at each look from there to the
    newest; the number of looks where it does not hold at the newest."""
    broken = np.flatnonzero(~holds)
    return int(broken[-1]) + 1 if len(broken) else 0
