"""``softmax-collapse``, ``naive-loss-minimisation`` and ``output-logit-divergence``: what becomes of the logits.

Once a classifier has fit its batch, the loss goes on falling when the logits merely grow, and for a homogeneous network
that is the direction of its own weights (naive loss minimisation). The lead of the right class then reaches the point
where 1 + Σ exp(−gap) is rounded to 1: the row's gradient on its right class is exactly 0 (Softmax Collapse). Source of
both: Prieto, Barsbey, Mediano, Birdal 2025, arXiv 2501.04697.

A collapsed row alone is no harm: a batch with one row that is not yet fit has its gradient from that row. What counts
is the share of the gradient that rounding took, and that it goes on.

It has no end of its own where every row of all the data is right and no weights decay: the loss then has no minimum,
and falls for ever as the logits grow (Soudry et al. 2018, arXiv 1710.10345). There a share that grows is foreseen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.analysis.printed_numbers import of_the_result
from surefoot.findings.decay import decayed, decays
from surefoot.findings.foresight import at_twice, at_twice_by_power, before
from surefoot.findings.history import History
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.certain_start import certain_from_the_start
from surefoot.findings.rules.decided_policy import decided_policy
from surefoot.findings.rules.frozen_choice import frozen_choice
from surefoot.findings.rules.softmax_cures import (
    DOUBLE_SOFTMAX_PRECISION,
    FLOAT32_LOGITS,
    ORTHOGONAL_GRAD,
    STABLEMAX,
    z_loss,
)
from surefoot.findings.stretches import unbroken_from
from surefoot.findings.turned import turned
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 3
_HALF, _NEARLY_ALL = 0.5, 0.9
_QUARTER, _FEWEST = 0.25, 64  # of the run so far, and steps
_CERTAIN = 16.6  # nats: ln(2/eps) of float32, from which on 1 − p is rounded to 0
_LOST = (
    "half of the gradient on the logits is rounding (1 − p rounded to 0; Prieto et al. 2025, arXiv 2501.04697), or "
    "nine tenths of it for the last quarter of the run"
)
_ALONG = "0.7 to 0.8 is usual once a network overfits without decay (Prieto et al. 2025, §4); 0 for a random direction"


@dataclass(frozen=True)
class _Collapse:
    """That a softmax has collapsed: since when, how much of the gradient was rounding, and what came of it."""

    began: int
    share: float
    bound: float
    severity: Severity
    outcome: str
    ahead: tuple[Evidence, ...] = ()  # where it is foreseen


def _collapse(history: History, name: str) -> _Collapse | None:
    levels = history.losses.values()
    if any(level.nonfinite_step is not None or not level.count for level in levels):
        return None  # of NaN nothing was rounded, whether the loss became it or was no number from the start
    steps, lost = history.measured("softmax_rounding_share", name)
    half, pair = lost >= _HALF, lost >= _NEARLY_ALL
    runs = [
        i
        for i in range(1, len(lost))
        if pair[i - 1 : i + 1].all() or (i >= _LOOKS - 1 and half[i - _LOOKS + 1 : i + 1].all())
    ]
    if not runs:
        return _decided(history, name) or _coming_collapse(history, name, steps, lost)
    began = int(steps[runs[0] - (1 if pair[runs[0] - 1 : runs[0] + 1].all() else _LOOKS - 1)])
    newest = lost[steps > (1 - _QUARTER) * history.step]
    if _QUARTER * history.step >= _FEWEST and len(newest) >= 2 and np.median(newest) >= _NEARLY_ALL:
        return _Collapse(began, float(np.median(newest)), _NEARLY_ALL, "warning", "for the last quarter of the run")
    at, shift = _shift(history, name)
    earlier = shift[at < began]
    if len(earlier) and len(shift) >= _LOOKS and shift[-_LOOKS:].min() >= max(_LEVEL, _GROWN * earlier[-1]):
        outcome = f"and what is left has pushed all logits to {history.value('logit_shift', name):.3g}"
        return _Collapse(began, float(lost[runs].max()), _HALF, "warning", outcome)
    if runs[-1] == len(lost) - 1:
        return _Collapse(began, float(lost[-1]), _HALF, "info", "in this batch")
    return None


def _decided(history: History, name: str) -> _Collapse | None:
    """Nine rows in ten teach nothing any more, for their probability is exactly 1, and what gradient is left is that of
    rows which are as surely wrong: by more than the softmax can tell from certainty. The logits grow on, so that it is
    no small temperature, which bounds them from the start."""
    steps, rows = history.measured("softmax_collapse_share", name)
    at, worst = history.measured("target_margin_min", name)
    since, largest = history.measured("logit_max", name)
    late = steps > (1 - _QUARTER) * history.step
    wrong, half = worst[at > (1 - _QUARTER) * history.step], before(since, 0.5)
    if late.sum() < _LOOKS or _QUARTER * history.step < _FEWEST or len(wrong) < _LOOKS or half is None:
        return None
    if np.median(rows[late]) < _NEARLY_ALL or np.median(wrong) > -_CERTAIN or largest[-1] < 2 * largest[half]:
        return None
    share = float(np.median(rows[late]))
    outcome = f"and the rows that are left are wrong by {-np.median(wrong):.3g} nats"
    shown = Evidence("softmax_collapse_share", name, int(steps[-1]), share, _NEARLY_ALL, _LOST)
    rounding = float(history.value("softmax_rounding_share", name))
    return _Collapse(int(steps[late][0]), rounding, _HALF, "warning", outcome, (shown,))


def _coming_collapse(history: History, name: str, steps: np.ndarray, lost: np.ndarray) -> _Collapse | None:
    """By its growth, in octave after octave, rounding will be half of the gradient at twice the steps, and nothing is
    there to stop it."""
    half, quarter = before(steps, 0.5), before(steps, 0.25)
    if half is None or quarter is None or not lost[quarter] < lost[half] < lost[-1] < _HALF:
        return None
    share, twice = at_twice_by_power(steps, lost)[0], 2 * int(steps[-1])
    if not share >= _HALF or not _without_minimum(history, name):
        return None
    outcome = f"and by its growth half of it by step {twice}, for nothing else is left to learn"
    signal = f"softmax_rounding_share at step {twice}"
    ahead = Evidence(signal, name, history.step, min(1.0, share), _HALF, f"its power of the step; {_LOST}")
    return _Collapse(int(steps[-1]), float(lost[-1]), _HALF, "warning", outcome, (ahead,))


def _without_minimum(history: History, name: str) -> bool:
    """All data come at every step, each row was right at the last three looks, and no weight decays."""
    optimizers = [history.optimizer(loss) for loss in history.losses]
    decays = [o.get("weight_decay", o.get("defaults", {}).get("weight_decay", 0.0)) for o in optimizers]
    decays += [event.data.get("id") == "weight-decay" for event in history.events("apply")]
    whole = [history.value("distinct_batches", loss) == 1 for loss in history.losses]
    _, worst = history.measured("target_margin_min", name)
    fit = len(worst) >= _LOOKS and worst[-_LOOKS:].min() > 0
    return bool(fit and all(optimizers) and not any(decays) and all(whole))


@rule("softmax-collapse", needs=("logits", "policy", "printed", "choices"))
def softmax_collapse(history: History) -> Sign | None:
    """Half of the gradient on the logits is rounding, at three looks in a row, or nine tenths at two: info. Warning
    where

    * nine tenths of it are, by the median over the last quarter of the run (64 steps and two looks at least);
    * nine rows in ten have a probability of exactly 1 for as long, others are wrong by as much, and the logits have
      doubled since half of the run;
    * half of it will be by twice the steps, as it grew over their newest half and quarter, every row of all the data
      being right and no weight decaying; or
    * the logits have drifted together since, to 10 and four times what they were: rows of a gradient that no longer sum
      to 0 push them.

    Of one that begins so: see ``certain_start.py``; of a policy: ``decided_policy.py``; of a gate or a selector:
    ``frozen_choice.py``.
    """
    for name in history.wheres("softmax_rounding_share"):
        found = _collapse(history, name)
        if found is None:
            continue
        rows = history.value("softmax_collapse_share", name)
        step = history.step
        evidence = (
            Evidence("softmax_rounding_share", name, step, found.share, found.bound, _LOST),
            Evidence("softmax_headroom", name, step, history.value("softmax_headroom", name), 0.0,
                     "nats left before the median row collapses: ln(2/eps) less its lead"),
            *found.ahead,
        )  # fmt: skip
        cause = (
            f"the softmax has run out of precision: {100 * rows:.3g} % of the rows have a probability of exactly 1, "
            f"and {100 * found.share:.3g} % of the gradient is rounding, {found.outcome}."
        )
        # in half precision it is the precision; in float32 and above it is that the logits grow without end
        cures: tuple[Remedy, ...] = (*decays(history), STABLEMAX, ORTHOGONAL_GRAD, DOUBLE_SOFTMAX_PRECISION)
        if _half_precision(history, name):
            both = f"{FLOAT32_LOGITS.apply}+{decayed(history).apply}"
            cures = (*best_of((FLOAT32_LOGITS,), both), *cures)
        return Sign(found.severity, cause, evidence, (name,), found.began, cures)
    return certain_from_the_start(history) or decided_policy(history) or frozen_choice(history)


@rule("naive-loss-minimisation", needs=("logits", "printed"))
def naive_loss_minimisation(history: History) -> Sign | None:
    """A gradient that points along the weights (cosine ½ or more) at three looks in a row on which the batch was fit:
    info. Warning where that is how the softmax collapsed (see :func:`softmax_collapse`): the median alignment while
    there was gradient left was ½ or more; or where it does harm meanwhile to a number that the script prints, which has
    turned (see ``turned.py``).
    """
    at, alignment = history.measured("nlm_alignment", "")
    aligned = dict(zip(at.tolist(), alignment.tolist(), strict=True))
    for name in history.wheres("target_margin_min"):
        steps, worst = history.measured("target_margin_min", name)
        found = _collapse(history, name)
        lost = found is not None and found.severity == "warning" and found.share >= _HALF
        until = found.began if found is not None else history.step + 1
        fit = [
            (s, aligned[s])
            for s, m in zip(steps.tolist(), worst.tolist(), strict=True)
            if m > 0 and s in aligned and s < until
        ]
        if len(fit) < _LOOKS:
            continue
        newest = [a for _, a in fit[-_LOOKS:]]
        now = fit[-1][0] == steps[-1] and min(newest) >= _HALF
        value = float(np.median(newest if now else [a for _, a in fit]))
        if not now and not (lost and value >= _HALF):
            continue
        step, margin = fit[-1][0], float(worst[steps == fit[-1][0]][0])
        evidence: tuple[Evidence, ...] = (
            Evidence("nlm_alignment", "", step, value, _HALF, _ALONG),
            Evidence("target_margin_min", name, step, margin, 0.0, "every row of the batch is right"),
        )
        harmed = None if lost else turned(history, of_the_result)
        outcome = "until the gradient was rounding" if lost else "and the loss falls for that alone"
        if harmed is not None:
            outcome += f", while {harmed.name} goes from {harmed.best:.3g} back to {harmed.now:.3g}"
            source = "a quarter of what it had gained is lost, beyond four times its noise"
            evidence += (Evidence("printed_number", harmed.name, history.step, harmed.now, harmed.bound, source),)
        cause = (
            f"the data are fit and the gradient points along the weights (cosine {value:.2g}): logits grow, {outcome}."
        )
        cures = (*decays(history), ORTHOGONAL_GRAD, STABLEMAX)
        return Sign("warning" if lost or harmed else "info", cause, evidence, (), fit[0][0], cures)
    return None


_GROWN, _LEVEL, _COARSE, _TWICE = 4.0, 10.0, 1 / 8, 2.0
_DRIFT = "|log Z| above 10 and drifting by more than 1 in a tenth of the run (after Wortsman et al. 2024, §3.2)"
_ROUNDS = (
    "what a logit is off by, 1 − p of its row is off by relative to itself; an eighth is what float8 (E5M2) rounds by, "
    "the coarsest format that gradients are trained in (Micikevicius et al. 2022, arXiv 2209.05433)"
)


@rule("output-logit-divergence", needs=("logits",))
def output_logit_divergence(history: History) -> Sign | None:
    """All logits drift together: |log Z| and |mean logit| are both above 10, four times their first level, and have
    moved by more than 1 in the last tenth of the run: info.

    Warning where it costs something: the logits' own dtype rounds by an eighth of a nat or more there (at 32 in
    bfloat16, 256 in float16), which is an eighth of each row's gradient; or it will by twice the steps, as the drift
    over the newest half of the run goes, if it is beyond 10 at two looks and does not slow down; or the loss has risen
    clearly above its best.

    The softmax itself does not see a common shift, and logits that are large because rows are told apart (a small
    temperature, a wide margin) have no common shift.
    """
    for name in history.wheres("log_partition_mean"):
        _, log_z = history.measured("log_partition_mean", name)
        steps, shift = _shift(history, name)
        if len(shift) < _LOOKS:
            continue
        # the first rows are kept however long the run is
        first = min(float(shift[0]), _first(history, name))
        tenth = shift[steps <= 0.9 * history.step]
        now = float(shift[-_LOOKS:].min())
        drifts = now >= max(_LEVEL, _GROWN * first) and len(tenth) > 0 and shift[-1] - tenth[-1] > 1.0
        rounding = history.value("logit_rounding", name)
        level = next(iter(history.losses.values()), None)
        ahead = min(_ahead(*history.measured(signal, name)) for signal in ("log_partition_mean", "logit_shift"))
        coarse_ahead = rounding * ahead / shift[-1] if shift[-1] > 0 else 0.0
        coming = (
            level is not None
            and level.recent <= level.base
            and shift[-2:].min() >= _LEVEL
            and ahead >= _GROWN * first
            and coarse_ahead >= _COARSE
        )
        if not drifts and not coming:
            continue
        rising = (
            level is not None
            and len(history.losses) == 1
            and level.count >= 8
            and level.low > level.best + max(3 * level.best_noise, 0.1 * abs(level.best))
        )
        unbounded = level is not None and len(history.losses) == 1 and level.recent < 0
        unbounded = unbounded and level is not None and level.recent < _TWICE * level.at_half
        evidence: tuple[Evidence, ...] = (
            Evidence("log_partition_mean", name, int(steps[-1]), float(log_z[-1]),
                     float(np.copysign(_LEVEL, log_z[-1])), _DRIFT),
            Evidence("logit_rounding", name, int(steps[-1]), rounding, _COARSE, _ROUNDS),
        )  # fmt: skip
        costs = (
            "and the loss rises"
            if rising
            else "and the loss falls below 0"
            if unbounded
            else f"where their dtype rounds by {rounding:.2g} nats"
        )
        if coming and not rising and not unbounded and rounding < _COARSE:
            costs += f", and by {coarse_ahead:.2g} at step {2 * steps[-1]} if they go on so"
            signal = f"logit_rounding at step {2 * steps[-1]}"
            evidence = (*evidence, Evidence(signal, name, int(steps[-1]), coarse_ahead, _COARSE, _ROUNDS))
        cause = f"all logits drift together: log Z went from {log_z[0]:.3g} to {log_z[-1]:.3g}, {costs}."
        drifted = unbroken_from(shift >= _LEVEL)
        began = int(steps[drifted if drifted < len(steps) else 0])  # what is only coming has begun with the run
        costly = (drifts and (rising or unbounded or rounding >= _COARSE)) or coming
        # at the level that counts as a drift the term weighs as much as what there is to learn
        coef = level.recent / _LEVEL**2 if level is not None and level.recent > 0 else 0.0
        return Sign(
            "warning" if costly else "info",
            cause,
            evidence,
            (name,),
            began,
            best_of((z_loss(coef), decayed(history)), str(z_loss(1.0).apply)),
        )
    return None


def _half_precision(history: History, name: str) -> bool:
    """Whether the logits themselves have 8 or 11 bits: what they are rounded by tells."""
    shift = _shift(history, name)[1]
    return len(shift) > 0 and 2 * history.value("logit_rounding", name) >= 2.0**-11 * float(shift[-1]) > 0


def _shift(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """How far all logits are from 0 together: the smaller of |log Z| and their |mean|, at the looks that have both."""
    steps, log_z = history.series("log_partition_mean", name)
    _, mean = history.series("logit_shift", name)
    shift = np.minimum(np.abs(log_z), np.abs(mean))
    known = np.isfinite(shift)
    return steps[known], shift[known]


def _ahead(steps: np.ndarray, values: np.ndarray) -> float:
    """The size at twice the steps, where it does not slow down: over the newest half of the run it is no slower than
    over the quarter before, and over the newest quarter no slower than over that half; else 0."""
    half, late = before(steps, 0.5), before(steps, 0.75)
    quarter = None if half is None else before(steps[: half + 1], 0.5)
    if half is None or late is None or quarter is None:
        return 0.0
    older = (values[half] - values[quarter]) / (steps[half] - steps[quarter])
    newer = (values[-1] - values[half]) / (steps[-1] - steps[half])
    newest = (values[-1] - values[late]) / (steps[-1] - steps[late])
    way = np.sign(values[-1])
    return abs(at_twice(steps, values)) if 0 < way * older <= way * newer <= way * newest else 0.0


def _first(history: History, name: str) -> float:
    found = [layers[name] for layers in history.first_layers("log_partition_mean")]
    known = [abs(value) for value in found if np.isfinite(value)]
    return known[0] if known else np.inf
