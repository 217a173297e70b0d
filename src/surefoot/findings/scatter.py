"""How far numbers scatter, whatever few of them do."""

from __future__ import annotations

import numpy as np


def scatter(values: np.ndarray, about: float | None = None) -> float:
    """The median distance from their median (or ``about``) times 1.4826: of normal numbers their standard deviation."""
    middle = np.median(values) if about is None else about
    return 1.4826 * float(np.median(np.abs(values - middle)))
