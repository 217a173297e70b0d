"""``unshuffled-data``: which samples come together."""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.streams import in_levels, in_stretches
from surefoot.findings.scatter import scatter
from surefoot.findings.turned import told_by_rewards
from surefoot.runs.schema import Evidence, Remedy

_ROWS = 8  # labels a batch must have to say anything of their order
_LOOKS = 4
_PURE = 0.8
# Lag-1 autocorrelation: n evenly spaced numbers in order have 1 − 3/n at least; of a handful, such as the two values at
# the ends of an interval, the order says nothing.
_FEW_LABELS = 0.5
# Fisher's F of batch means: with six batches, shuffled data pass 10 once in 10⁹ times.
_GROUP_LOOKS, _BETWEEN, _FORGOTTEN = 6, 10.0, 1.5
# Two rows of a shuffled batch have the same label as often as any two, but for 4 standard deviations once in 30,000
# looks; what of the labels' variance is between batches is an nth of it then, and a fifth is some in each batch.
_DEVIATIONS, _OF_THE_LABELS = 4.0, 0.2
SHUFFLE = Remedy(
    name="shuffled order of samples",
    why="each batch is then a fair sample of the data, and its gradient an unbiased one",
    how=(
        "# after: model\n"
        "import torch\n"
        "def shuffled(*tensors, generator=None):\n"
        '    """The same rows of all tensors in a new random order; or DataLoader(…, shuffle=True)."""\n'
        "    order = torch.randperm(len(tensors[0]), generator=generator)\n"
        "    return tuple(tensor[order] for tensor in tensors)\n"
    ),
    apply="shuffle",
)


@rule("unshuffled-data", needs=("samples",))
def unshuffled_data(history: History) -> Sign | None:
    """Classes come one after the other (nearly pure batches, of different classes; or labels that rise within each of
    four batches, over few of the classes), or real-valued targets are sorted: warning. The same batches come again in
    a later epoch: info; warning where real-valued targets differ from batch to batch ten times more than chance has it,
    or a fifth of the labels' variance is between batches, and the model, twice as long after, still meets batches on
    which their own mean (mix of labels) does much better. Warning too where a batch has few labels (a narrow
    range of targets), those of the batch before, and their own mix does much better at a quarter of the looks. None
    where a policy is trained: what it has played comes in its order, and is as it makes it."""
    if told_by_rewards(history):
        return None
    for name in history.wheres("batch_rows"):
        sign = _pure(history, name) or _rising(history, name) or _grouped(history, name) or _composed(history, name)
        sign = sign or _stretched(history, name)
        if sign is not None:
            return sign
    return _returned(history)


def _measured(history: History, name: str, *signals: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Looks at batches of enough rows in which all the signals were measured."""
    steps, rows = history.series("batch_rows", name)
    columns = [history.series(signal, name)[1] for signal in signals]
    if any(len(column) != len(rows) for column in columns):
        return steps[:0], [rows[:0] for _ in columns]  # a record without some of these signals
    good = rows >= _ROWS
    for column in columns:
        good &= np.isfinite(column)
    return steps[good], [column[good] for column in columns]


def _pure(history: History, name: str) -> Sign | None:
    if len(history.wheres("batch_rows")) > 1:
        return None  # of several optimisers, one may well see one label (real or fake) at a time
    steps, (purity, majority, expected) = _measured(
        history, name, "label_purity", "label_majority", "label_runs_expected"
    )
    if len(steps) < _LOOKS or not expected[-1] <= 0.75:
        return None
    pure = purity >= _PURE
    if not pure[0] and pure[-1]:  # the order may be that of a stage; chosen afterwards, it is to show it more often
        since = int(np.flatnonzero(~pure)[-1]) + 1
        steps, purity, majority, pure = steps[since:], purity[since:], majority[since:], pure[since:]
        if len(steps) < 2 * _LOOKS:
            return None
    if pure.mean() < 0.75 or not pure[0] or len(set(majority[pure].tolist())) < 2:
        return None
    evidence = Evidence("label_purity", name, int(steps[-1]), float(np.median(purity)), _PURE,
                        f"the chance that two rows have the same label; {expected[-1]:.2g} if shuffled")  # fmt: skip
    cause = (
        f"the data are sorted by class: {pure.sum()} of {len(pure)} batches hold (nearly) one class each, though "
        f"{history.value('label_classes_seen', name):.0f} classes were seen."
    )
    return Sign("warning", cause, (evidence,), (name,) if name else (), int(steps[0]), (SHUFFLE,))


def _rising(history: History, name: str) -> Sign | None:
    steps, (rising, runs, expected) = _measured(history, name, "label_rising", "label_runs", "label_runs_expected")
    moved = runs < 1  # a batch of one class shows no order
    steps, rising, runs, expected = steps[moved], rising[moved], runs[moved], expected[moved]
    if len(steps) < _LOOKS or rising.mean() < 0.75 or len(history.wheres("batch_rows")) > 1:
        return None
    if history.value("distinct_batches", name) <= 1:
        return None  # the order within all of the data is nothing to a sum over them
    _, classes = history.series("label_classes", name)
    counted = np.isfinite(classes)
    if counted.any():
        seen = history.value("label_classes_seen", name)
        if not np.nanmedian(classes) <= 0.5 * seen or (np.nanmedian(classes) < 3 and len(steps) < _LOOKS + 2):
            return None  # two groups side by side (real and fake, positives and negatives) are made on purpose
    elif not np.median(runs) > _FEW_LABELS:
        return None
    evidence = Evidence("label_rising", name, int(steps[-1]), float(rising.mean()), 0.0,
                        f"shuffled labels of {_ROWS} rows are in order once in thousands of batches")  # fmt: skip
    cause = "the data are sorted by their label: within each batch labels only ever go one way."
    order = Evidence("label_runs", name, int(steps[-1]), float(np.median(runs)), float(expected[-1]),
                     "neighbours with the same label (or lag-1 autocorrelation) in shuffled data")  # fmt: skip
    return Sign("warning", cause, (evidence, order), (name,) if name else (), int(steps[0]), (SHUFFLE,))


def _grouped(history: History, name: str) -> Sign | None:
    """Rows that belong together (of one site, one day) come together. Of n rows drawn at random the variance of their
    mean is an nth of that within; what is more is between the groups. To have groups is no fault (a graph, a task):
    to forget one over the others is."""
    if len(history.wheres("batch_rows")) > 1:
        return None
    steps, (means, deviations, returned) = _measured(history, name, "target_mean", "target_deviation", "batch_returned")
    late = _late(history, steps, returned)
    if late.sum() < _GROUP_LOOKS:
        return None
    rows = dict(zip(*history.measured("batch_rows", name), strict=True))
    # medians: a single odd batch is another finding's
    between = scatter(means[late])
    within = float(np.median(deviations[late])) / float(np.sqrt(np.median([rows[step] for step in steps[late]])))
    shares, worse = _forgotten(history, name, steps[late])
    if not (between**2 >= _BETWEEN * within**2 > 0 and len(worse) >= 2):
        return None
    ratio = (between / within) ** 2
    evidence = (
        Evidence("variance of target_mean", name, int(steps[-1]), ratio, _BETWEEN,
                 f"of {late.sum()} batches, in units of what rows drawn at random have: 1 if shuffled"),
        Evidence("loss / constant_loss", name, int(steps[-1]), float(worse.max()), _FORGOTTEN,
                 "their own mean would do better, though these data were seen before"),
    )  # fmt: skip
    cause = (
        f"rows that belong together come together: the targets' mean varies {ratio:.3g} times as much from batch to "
        f"batch as it would in shuffled data, and of {len(shares)} batches {len(worse)} were as good as forgotten."
    )
    return Sign("warning", cause, evidence, (name,) if name else (), int(steps[0]), (SHUFFLE,))


def _composed(history: History, name: str) -> Sign | None:
    """The same of labels: each batch has its own few of them, and comes again as it was. Batches that are put together
    by their labels, and drawn anew each time, never do."""
    if len(history.wheres("batch_rows")) > 1:
        return None
    steps, (purity, expected, returned) = _measured(
        history, name, "label_purity", "label_runs_expected", "batch_returned"
    )
    late = _late(history, steps, returned)
    if late.sum() < _GROUP_LOOKS or not 0 < expected[-1] < 1:
        return None
    chance = float(expected[-1])
    rows = dict(zip(*history.measured("batch_rows", name), strict=True))
    pairs = np.array([rows[step] * (rows[step] - 1) / 2 for step in steps[late]])
    beyond = purity[late] >= chance + _DEVIATIONS * np.sqrt(chance * (1 - chance) / pairs)
    share = (float(np.median(purity[late])) - chance) / (1 - chance)
    shares, worse = _forgotten(history, name, steps[late])
    if not (beyond.mean() >= 0.75 and share >= _OF_THE_LABELS and len(worse) >= 2):
        return None
    evidence = (
        Evidence("label_purity", name, int(steps[-1]), float(np.median(purity[late])),
                 chance + _OF_THE_LABELS * (1 - chance),
                 f"a fifth of the labels' variance is between batches; {chance:.2g} if shuffled"),
        Evidence("loss / constant_loss", name, int(steps[-1]), float(worse.max()), _FORGOTTEN,
                 "the batch's own mix of labels would do better, though these data were seen before"),
    )  # fmt: skip
    cause = (
        f"rows with the same label come together: {100 * share:.2g} % of the labels' variance is between batches, "
        f"which come again as they were, and of {len(shares)} batches {len(worse)} were as good as forgotten."
    )
    return Sign("warning", cause, evidence, (name,) if name else (), int(steps[0]), (SHUFFLE,))


def _stretched(history: History, name: str) -> Sign | None:
    if len(history.wheres("batch_rows")) > 1:
        return None
    of_labels = in_stretches(history, name)
    found = of_labels or in_levels(history, name)
    if found is None:
        return None
    began, evidence = found
    what = "labels" if of_labels else "targets"
    cause = (
        f"{what} come in stretches: a batch holds few of them, such as the batch before, and by the time that they "
        f"come again they are forgotten ({evidence[-1].source})."
    )
    return Sign("warning", cause, evidence, (name,) if name else (), began, (SHUFFLE,))


def _late(history: History, steps: np.ndarray, returned: np.ndarray) -> np.ndarray:
    """Looks of the newest half, once twice as many steps were taken as to the first batch that had come before."""
    again = steps[returned == 1]
    return steps >= max(2 * again[0], history.step / 2) if len(again) else steps < 0


def _forgotten(history: History, name: str, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses at these steps, in units of what a constant scores on that very batch: all, and those far above."""
    at, losses = history.series("loss", name)
    constants = history.series("constant_loss", name)[1]
    if len(losses) != len(constants):
        return losses[:0], losses[:0]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(constants > 0, losses / constants, np.nan)[np.isin(at, steps)]
    shares = shares[np.isfinite(shares)]
    return shares, shares[shares >= _FORGOTTEN]


def _returned(history: History) -> Sign | None:
    for name in history.wheres("batch_returned"):
        if history.value("batch_returned", name) != 1 or history.value("distinct_batches", name) < 4:
            continue
        evidence = Evidence("batch_returned", name, history.step, 1.0, 0.0, "shuffled anew, a batch never comes twice")
        cause = "the same batches come again in every epoch: the order of samples is not shuffled anew."
        began = int(history.measured("batch_returned", name)[0][0])
        return Sign("info", cause, (evidence,), (name,) if name else (), began, (SHUFFLE,))
    return None
