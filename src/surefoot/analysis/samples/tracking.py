"""Follow the same samples through a run in bounded memory: the 4,096 smallest hashes, and the loss each had last.

The samples with the smallest hashes are a random sample of all, chosen by their own bits, so that a sample once kept
is met again whenever it comes. And the largest hash kept tells how many different ones there were (bottom-k sketch: the
k-th smallest of m uniform numbers in [0, 1) lies at k/(m + 1)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KEPT_SAMPLES = 4096
_SPACE = 2.0**64


@dataclass(frozen=True)
class Tracked:
    """The state: hashes in rising order, and the last known loss of each (NaN where unknown)."""

    hashes: np.ndarray  # (k,) uint64
    losses: np.ndarray  # (k,) float32
    most: int = KEPT_SAMPLES

    @property
    def distinct(self) -> float:
        """How many different samples were seen: exact up to ``most``, estimated to 1/√most beyond."""
        if len(self.hashes) < self.most:
            return float(len(self.hashes))
        return (len(self.hashes) - 1) / ((float(self.hashes[-1]) + 1) / _SPACE)


@dataclass(frozen=True)
class Seen:
    """What one batch shows of samples that were met before.

    Attributes
    ----------
    repeated : share of the batch's rows that were, among those whose hash is small enough to be kept
    change : root mean square of what their losses changed by since; NaN where nothing is known
    risen : share of them whose loss rose
    """

    repeated: float
    change: float
    risen: float


def track(most: int = KEPT_SAMPLES) -> Tracked:
    """An empty state that keeps at most ``most`` samples."""
    if most < 2:
        raise ValueError(f"most: got {most}; must be at least 2 samples")
    return Tracked(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.float32), most)


def see(state: Tracked, hashes: np.ndarray, losses: np.ndarray | None = None) -> tuple[Tracked, Seen]:
    """Take in one batch.

    Parameters
    ----------
    hashes : ``(n,)`` uint64
    losses : ``(n,)``, the loss of each row; None where they are not known

    Raises
    ------
    ValueError
        If ``losses`` are not as many as ``hashes``.
    """
    if losses is None:
        losses = np.full(len(hashes), np.nan, dtype=np.float32)
    if hashes.shape != losses.shape or hashes.ndim != 1:
        raise ValueError(f"losses: got shape {losses.shape} with hashes {hashes.shape}; must be one loss a hash")
    full = len(state.hashes) >= state.most
    kept = hashes <= state.hashes[-1] if full else np.ones(len(hashes), dtype=bool)
    fresh, first = np.unique(hashes[kept], return_index=True)
    now = losses[kept][first].astype(np.float32)
    at = np.searchsorted(state.hashes, fresh)
    known = at < len(state.hashes)
    known[known] = state.hashes[at[known]] == fresh[known]
    delta = now[known] - state.losses[at[known]]
    delta = delta[np.isfinite(delta)]
    seen = Seen(
        repeated=float(known.mean()) if len(fresh) else float("nan"),
        change=float(np.sqrt(np.mean(np.square(delta, dtype=np.float64)))) if len(delta) else float("nan"),
        risen=float((delta > 0).mean()) if len(delta) else float("nan"),
    )
    old = state.losses.copy()
    old[at[known]] = np.where(np.isfinite(now[known]), now[known], old[at[known]])
    every = np.concatenate([state.hashes, fresh[~known]])
    values = np.concatenate([old, now[~known]])
    order = np.argsort(every, kind="stable")[: state.most]
    return Tracked(every[order], values[order], state.most), seen
