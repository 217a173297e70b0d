"""``bad-batch`` by a few rows in most batches whose targets are far from all others, and are never learned; or
``opposing-outliers``, where they lie on both sides.

A code for "no answer" among numbers, a unit that was mixed up, a sensor that hangs: a squared error of a hundred times
the usual residual outweighs ten thousand rows, and what the rest could teach is lost in it. Rare events are not meant:
where nothing happens their batches have no spread of their own; nor is a loss that counts errors by their size.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy, Severity

_CLEAN, _HIT = 1e3, 1e4  # largest loss of a row over the median one: thirty times the usual residual, and a hundred
_APART = 0.9  # of the looks: a heavy tail has all sizes between the two
_FAR = 30.0  # deviations of the other targets: beyond what e^z reaches of a normal z in 2000 rows
_OWN = 0.5  # of the usual residual: the spread of the targets without such rows
_STAYS = 0.5  # of the largest row's loss
_LOOKS, _HITS, _STEPS = 2, 6, 64
_BOTH = 0.25  # of the batches pulled to each side
_CHANCE = 1 / 32  # as for all of six on one side, where both are as likely

_WHY = {
    True: ", for they pull to both sides.",
    False: ". Look at these targets: a code for what is missing, another unit?",
}


def far_rows(history: History, opposing: bool = False) -> Sign | None:
    """Of all looks over 64 steps, six batches or more have a row whose loss is 10,000 times the median one, and no
    lower at the last of them than half of the first; two or more have no row of even a thousand times, and next to none
    is between; and what the deviation of targets in the former says of the distance of one such row is 30 times that in
    the latter. Rows that throw a model off raise the others' loss as well: where it is a thousand times the batch's
    median, the middle of that in batches without such rows serves, too. They are ``opposing`` if in a quarter of such
    batches or more the targets' mean is above its middle in the others, and in a quarter below; and on one side if not
    so, and so few are on the other no more than one time in 32 by chance."""
    for name in history.wheres("row_loss_max"):
        steps, (most, median, deviation, rows, mean) = _looks(history, name)
        clean = most <= _CLEAN * median
        calm = np.minimum(median, np.median(median[clean])) if clean.any() else median
        hit = ~clean & (most >= _HIT * calm)
        apart = bool(len(steps)) and float((clean | hit).mean()) >= _APART
        if not apart or clean.sum() < _LOOKS or hit.sum() < _HITS or np.ptp(steps[hit]) < _STEPS:
            continue
        own = float(np.median(deviation[clean]))
        distance = float(np.median(np.sqrt(np.maximum(deviation[hit] ** 2 - own**2, 0) * rows[hit])))
        usual = float(np.median(calm)) ** 0.5
        stays = np.median(most[hit][-_LOOKS:]) >= _STAYS * np.median(most[hit][:_LOOKS])
        if not (stays and own >= _OWN * usual and distance >= _FAR * own):
            continue
        above = mean[hit] > np.median(mean[clean])
        fewer = int(min(above.sum(), (~above).sum()))
        both, one = fewer >= _BOTH * len(above), _by_chance(fewer, len(above)) <= _CHANCE
        if not (both if opposing else one and not both):
            continue
        last = int(np.flatnonzero(hit)[-1])
        share = float(hit.mean())
        evidence = (
            Evidence("row_loss_max", name, int(steps[last]), float(most[last]), float(_HIT * calm[last]),
                     "10,000 times the median row's: a residual of a hundred usual ones"),
            Evidence("target_deviation", name, int(steps[last]), float(deviation[last]), own,
                     f"that of the {int(clean.sum())} batches looked at without such rows"),
        )  # fmt: skip
        cause = (
            f"{100 * share:.0f} % of the batches hold rows whose targets are about {distance:.3g} off; the others "
            f"spread by {own:.3g}: their loss, {most[last]:.3g} after a median of {median[last]:.3g} a row, outweighs "
            f"all the rest and is never learned{_WHY[opposing]}"
        )
        cures = best_of((robust(3 * usual), remedies.CLIP))
        began = int(steps[np.argmax(hit)])
        return Sign(of_rows(history), cause, evidence, (name,) if name else (), began, cures)
    return None


def of_rows(history: History) -> Severity:
    """How grave rows with targets far off are: no longer, where a remedy in place leaves them out of the gradient."""
    applied = [event.data for event in history.events("applied")]
    return "info" if any(one.get("id") == "skip-outliers" and one.get("count") for one in applied) else "warning"


def _by_chance(fewer: int, count: int) -> float:
    """The probability that so few of ``count`` or less lie on one of two sides that are as likely."""
    return min(1.0, 2 * sum(math.comb(count, k) for k in range(fewer + 1)) / 2**count)


def _looks(history: History, name: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The looks at which all of it was read; none where no row can be far off, which is asked at each step."""
    signals = ("row_loss_max", "row_loss_median", "target_deviation", "batch_rows", "target_mean")
    most, median = (history.measured(signal, name)[1] for signal in signals[:2])
    if not most.max(initial=0.0) >= _HIT * median.min(initial=np.inf):
        return np.empty(0, np.int64), [np.empty(0)] * len(signals)
    return history.together(*((signal, name) for signal in signals))


def robust(delta: float) -> Remedy:
    """Huber's loss, which counts errors beyond ``delta`` by their size."""
    return Remedy(
        name="torch.nn.HuberLoss",
        why="beyond three usual residuals an error counts by its size, not by its square; better: take the rows out",
        how=f"# after: loss\nimport torch\nloss_fn = torch.nn.HuberLoss(delta={delta:.2g})\n",
        apply="skip-outliers",
    )
