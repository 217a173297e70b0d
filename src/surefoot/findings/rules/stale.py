"""``stale-batch``: whether new samples come at all."""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

# A loop that makes several steps of each batch, 32 say, may look as if it asked each time (its batch is made anew from
# the same rows). So it takes twice as many steps; or those 32, where its asking was followed at so many looks that even
# of batches drawn at random the same one would have come each time once in a million.
_STALE_LOOKS, _STALE_STEPS, _FEWER_STEPS, _CHANCE = 6, 64, 31, 1e-6
_UNJUDGED = 3
_NEIGHBOURS = 3  # a burst of four looks: a loop of several steps a batch changes it at no more than two of them

LOOP_OVER_LOADER = Remedy(
    name="one iterator over the loader",
    why="next(iter(loader)) begins anew each time and so gives the first batch for ever; a generator goes on",
    how=(
        "# after: model\n"
        "def batches(loader):\n"
        '    """All batches, epoch after epoch: stream = batches(loader), then next(stream) in the loop."""\n'
        "    while True:\n"
        "        yield from loader\n"
    ),
    apply="fresh-batches",
)
SEEDED_ONCE = Remedy(
    name="a generator that is seeded once",
    why="what is drawn goes on from where it was; a seed begins the same numbers again",
    how=(
        "# after: model\n"
        "import torch\n"
        "GENERATOR = torch.Generator().manual_seed(0)  # made once: torch.rand(…, generator=GENERATOR) in the loop\n"
    ),
    apply="fresh-batches",
)


@rule("stale-batch", needs=("samples",))
def stale_batch(history: History) -> Sign | None:
    """At six looks over 64 steps the batch was one and the same, while there are more of this size. Warning where the
    loop asks for a batch again and again (at two of the last four looks), and is given this one; after 32 steps where
    it has asked so often that chance would do so once in a million. Warning too where it keeps its batch of a training
    set and the model is tested on what is no part of that; and where it had others before, if the common period of the
    looks' steps is shorter than a round of those would be; after 32 steps, and at as many looks as chance would do that
    at once in a million, where each step had had another batch (seen at neighbouring steps, three times at least). Else
    an info: that is how a model is tried on one batch, or
    trained on all that it is to be trained on. Warning where it is drawn anew at each of the newest six looks or more,
    over 32 steps whose common period is shorter than a round of all batches so far, of a generator that the training
    loop seeds: who wants the same numbers draws them once."""
    for name in history.wheres("stale_loader_batches"):
        waiting = history.value("stale_loader_batches", name)
        steps, distinct = history.series("distinct_batches", name)
        seen = np.isfinite(distinct)
        steps, distinct = steps[seen], distinct[seen]
        before = len(distinct) > 0 and bool(distinct[-1] > 1)
        if before:
            steps = steps[_since(history.series("stale_loader_batches", name)[1][seen]) :]
        if not waiting >= 2 or not len(steps):
            continue
        new = before and waiting ** -float(len(steps) - 1) <= _CHANCE
        new = new and _new_at_each_step(*history.measured("batch_returned", name), int(steps[0]))
        if len(steps) < _STALE_LOOKS and not new:
            continue
        if before and np.gcd.reduce(np.diff(steps)) >= distinct[-1]:
            continue  # batches that come round: a round of so few steps can't hold all that were seen
        _, asked = history.series("stale_loader_asked", name)
        again = np.nansum(asked[-4:]) >= 2
        certain = again and waiting ** -float(np.nansum(asked)) <= _CHANCE
        if steps[-1] - steps[0] < (_FEWER_STEPS if certain or new else _STALE_STEPS):
            continue
        tested = history.value("stale_tested", name) == 1
        evidence = Evidence("distinct_batches", name, int(steps[-1]), 1.0, waiting, "so many of this size there are")
        if again:
            how = (
                "though the loop takes a batch at every step (next(iter(loader)) begins anew each time, rows taken by "
                "the same indices are the same rows, a loop variable may not be the one that the model is given)"
            )
        elif before:
            how = f"which it keeps since step {steps[0]}, though it had others before"
        elif tested:
            how = "which it keeps, while the model is tested on rows of no part of them: the loop over them is missing"
        else:
            how = "which it keeps; if it is not meant to see these rows only, the loop over the others is missing"
        cause = (
            f"every step trains on the same batch: {len(steps)} looks over {steps[-1] - steps[0]} steps saw one of "
            f"{waiting:.0f}, {how}."
        )
        severity: Severity = "warning" if again or before or tested else "info"
        return Sign(severity, cause, (evidence,), (name,) if name else (), int(steps[0]), (LOOP_OVER_LOADER,))
    return _drawn_again(history)


def _since(judged: np.ndarray) -> int:
    """The first of the looks since the batch is this one: it is judged from the fourth on."""
    unjudged = np.flatnonzero(~np.isfinite(judged))
    return max(0, int(unjudged[-1]) + 1 - _UNJUDGED) if len(unjudged) else 0


def _drawn_again(history: History) -> Sign | None:
    for name in history.wheres("stale_seeded"):
        steps, distinct = history.series("distinct_batches", name)
        seen = np.isfinite(distinct)
        seeded = history.series("stale_seeded", name)[1][seen]
        since = _since(seeded)
        steps, distinct, seeded = steps[seen][since:], distinct[seen], seeded[since:]
        seeded = seeded[np.isfinite(seeded)]
        enough = len(steps) >= _STALE_LOOKS and steps[-1] - steps[0] >= _FEWER_STEPS
        if not enough or not len(seeded) or not seeded.all():
            continue
        if distinct[-1] > 1 and np.gcd.reduce(np.diff(steps)) >= distinct[-1]:
            continue  # batches that come round
        evidence = Evidence("distinct_batches", name, int(steps[-1]), 1.0, float(len(steps)), "so many were looked at")
        cause = (
            f"every step draws the same numbers: at {len(steps)} looks over {steps[-1] - steps[0]} steps the batch was "
            "made anew and was the same, for the loop seeds its generator each time."
        )
        return Sign("warning", cause, (evidence,), (name,) if name else (), int(steps[0]), (SEEDED_ONCE,))
    return None


def _new_at_each_step(steps: np.ndarray, returned: np.ndarray, until: int) -> bool:
    """Before a step, each look at the step after a look saw a batch that had not been there."""
    next_to = (np.diff(steps) == 1) & (steps[1:] < until)
    return int(next_to.sum()) >= _NEIGHBOURS and not returned[1:][next_to].any()
