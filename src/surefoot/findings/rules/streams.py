"""Labels, or targets, that come in stretches: a stream of one source after the other, or too small a shuffle buffer.

No batch need be of one class, and none need come again. What tells it from batches that are put together of few
classes each, drawn anew for every batch, is that a batch's labels are those of the batch before; and what tells that it
harms, that a model which has seen them all does worse on a batch than its own mix of labels would.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.scatter import scatter
from surefoot.runs.schema import Evidence

_LOOKS, _NEIGHBOURS, _WORSE = 8, 4, 3
_OF_LOOKS, _OFTEN = 0.75, 0.25
_DEVIATIONS, _OF_THE_LABELS = 4.0, 0.2  # as for batches that are put together by their labels
_CHANCE = 1e-3
_TURNS = 4  # times that targets cross their middle: what drifts does so once
_BETWEEN, _NEAR = 10.0, 0.25  # Fisher's F, as for rows that come grouped; of the steps between batches further apart
_FORGOTTEN = 1.5  # of what the batch's own mix of labels scores


def in_stretches(history: History, name: str) -> tuple[int, tuple[Evidence, ...]] | None:
    """Since when, and what shows it: three quarters of eight looks or more saw far fewer labels than chance has it;
    labels of neighbouring steps are alike, as they would be by chance once in a thousand times; and a quarter of the
    newer half of the looks, three at least, had a loss of 1.5 times what the batch's own mix scores."""
    columns = ("batch_rows", "label_purity", "label_majority", "label_runs_expected", "constant_loss", "loss")
    steps, (rows, purity, majority, expected, constants, losses) = history.together(*((c, name) for c in columns))
    if len(steps) < _LOOKS or not 0 < expected[-1] < 0.75:
        return None
    chance = float(expected[-1])
    pairs = np.maximum(rows * (rows - 1) / 2, 1)
    few = purity >= chance + np.maximum(
        _DEVIATIONS * np.sqrt(chance * (1 - chance) / pairs), _OF_THE_LABELS * (1 - chance)
    )
    if not few.mean() >= _OF_LOOKS:
        return None
    next_to = np.diff(steps) == 1
    alike = int((majority[1:] == majority[:-1])[next_to].sum())
    count = int(next_to.sum())
    if count < _NEIGHBOURS or len(set(majority.tolist())) < 3 or _at_least(alike, count, chance) > _CHANCE:
        return None
    late = slice(len(steps) // 2, None)
    worse, ratio = _forgotten(losses[late], constants[late])
    if worse is None:
        return None
    return int(steps[0]), (
        Evidence("label_purity", name, int(steps[-1]), float(np.median(purity)), chance + _OF_THE_LABELS * (1 - chance),
                 f"a fifth of the labels' variance is between batches; {chance:.2g} if shuffled"),
        Evidence("label_majority, the same at the next step", name, int(steps[-1]), alike / count, chance,
                 f"{alike} of {count} neighbouring steps: by chance as many come once in a thousand times at most"),
        Evidence("loss / constant_loss", name, int(steps[-1]), ratio, _FORGOTTEN,
                 f"at {int(worse.sum())} of {len(worse)} looks the batch's own mix of labels would do better"),
    )  # fmt: skip


def in_levels(history: History, name: str) -> tuple[int, tuple[Evidence, ...]] | None:
    """The same of real-valued targets: batches' means differ ten times more than chance has it, by medians, those of
    neighbouring steps by no more than a quarter of what others do, up and down again twice at least, and their own mean
    would do better."""
    columns = ("batch_rows", "target_mean", "target_deviation", "constant_loss", "loss")
    steps, (rows, means, deviations, constants, losses) = history.together(*((c, name) for c in columns))
    if len(steps) < _LOOKS:
        return None
    between = scatter(means)
    within = float(np.median(deviations)) / math.sqrt(float(np.median(rows)))
    next_to = np.diff(steps) == 1
    jumps = np.abs(np.diff(means))
    if not between**2 >= _BETWEEN * within**2 > 0 or next_to.sum() < _NEIGHBOURS or (~next_to).sum() < _NEIGHBOURS:
        return None
    if not np.median(jumps[next_to]) <= _NEAR * np.median(jumps[~next_to]):
        return None
    off = means - np.median(means)
    sides = np.sign(off[np.abs(off) > between / 2])
    if (np.diff(sides) != 0).sum() < _TURNS:
        return None  # targets that drift, as those which a model makes itself
    late = slice(len(steps) // 2, None)
    worse, ratio = _forgotten(losses[late], constants[late])
    if worse is None:
        return None
    return int(steps[0]), (
        Evidence("variance of target_mean", name, int(steps[-1]), (between / within) ** 2, _BETWEEN,
                 f"of {len(steps)} batches, in units of what rows drawn at random have: 1 if shuffled"),
        Evidence("loss / constant_loss", name, int(steps[-1]), ratio, _FORGOTTEN,
                 f"at {int(worse.sum())} of {len(worse)} looks the batch's own mean would do better"),
    )  # fmt: skip


def _forgotten(losses: np.ndarray, constants: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Where the batch's own mix, or mean, does much better, if that is so often; and how much in the middle."""
    worse = losses >= _FORGOTTEN * constants
    if worse.sum() < _WORSE or not worse.mean() >= _OFTEN:
        return None, math.nan
    return worse, float(np.median(losses[worse] / np.maximum(constants[worse], 1e-3)))


def _at_least(hits: int, count: int, chance: float) -> float:
    """The probability of so many hits or more."""
    return math.fsum(math.comb(count, k) * chance**k * (1 - chance) ** (count - k) for k in range(hits, count + 1))
