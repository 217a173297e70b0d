"""Whether a window of loss changes shows opposing signals: the rule, as a pure function of the changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefoot.analysis.outliers.groups import OpposingGroups, checked_changes, opposing_groups

LEAST_STEPS = 8
"""Fewer changes can't tell a swing from noise: lag-1 then scatters by more than 0.35."""


@dataclass(frozen=True)
class Criterion:
    """One number the rule looks at, its threshold, why that threshold, and whether the number is beyond it."""

    name: str
    value: float
    threshold: float
    source: str
    met: bool


@dataclass(frozen=True)
class OpposingVerdict:
    """What the rule says: opposing if all criteria are met; the groups are those it looked at."""

    opposing: bool
    criteria: tuple[Criterion, ...]
    groups: OpposingGroups

    def criterion(self, name: str) -> Criterion:
        """One of the criteria, by name."""
        return next(c for c in self.criteria if c.name == name)


def judge(delta: Float[Tensor, "steps n"]) -> OpposingVerdict | None:
    """Judge a window of per-sample loss changes; None where it can't say (too few steps, nothing moves, nan or inf).

    Four things must hold at once: the changes follow one pattern; few samples carry much of them; both groups swing at
    (nearly) every step; and they do so against each other. Ranking by change alone (as in arXiv 2311.04163) favours
    whatever has a high loss and fires for every run, so the swing is required.

    Parameters
    ----------
    delta : changes of the same samples' losses between consecutive looks, oldest first; steps must be consecutive, or
        the swing from step to step is not seen
    """
    if delta.dim() == 2 and (len(delta) < LEAST_STEPS or not bool(torch.isfinite(delta).all())):
        return None
    delta = checked_changes(delta)
    groups = opposing_groups(delta)
    if len(groups.up) == 0 and len(groups.down) == 0:
        return None
    noise = 1 / math.sqrt(len(delta))
    swing = -0.5 - noise
    slower = max(groups.lag1) if not any(math.isnan(v) for v in groups.lag1) else 1.0
    against = groups.correlation if not math.isnan(groups.correlation) else 1.0
    criteria = (
        Criterion(
            "energy_share",
            groups.energy_share,
            0.5,
            "one pattern carries most of all change; independent noise gives about 1/steps",
            groups.energy_share >= 0.5,
        ),
        Criterion(
            "concentration",
            groups.concentration[1],
            0.3,
            "twice the share of the top 5 % when all samples move alike (half-normal: 0.15)",
            groups.concentration[1] >= 0.3,
        ),
        Criterion(
            "lag1",
            slower,
            swing,
            "noise around a level has lag-1 −½ with error 1/√steps; a swing at each step has −1",
            slower <= swing,
        ),
        Criterion(
            "correlation",
            against,
            -0.5,
            "a correlation of −½ over a window of steps: a quarter of the variance is shared, with opposite sign",
            against <= -0.5,
        ),
    )
    return OpposingVerdict(all(c.met for c in criteria), criteria, groups)


def samples_to_inspect(
    verdict: OpposingVerdict, ids: Int[Tensor, " n"] | None = None, count: int = 10
) -> tuple[list[int], list[int]]:
    """The strongest samples of both groups, by id: look at what they share and how their labels differ."""
    if count < 1:
        raise ValueError(f"count: got {count}; must be at least 1")
    up, down = verdict.groups.up[:count].cpu(), verdict.groups.down[:count].cpu()
    return (up if ids is None else ids[up]).tolist(), (down if ids is None else ids[down]).tolist()
