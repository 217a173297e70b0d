"""``softmax-collapse``, ``naive-loss-minimisation`` and ``output-logit-divergence``: what becomes of the logits.

Once a classifier has fit its batch, the loss goes on falling when the logits merely grow, and for a homogeneous network
that is the direction of its own weights (naive loss minimisation). The lead of the right class then reaches the point
where 1 + Σ exp(−gap) is rounded to 1: the row's gradient on its right class is exactly 0 (Softmax Collapse). Source of
both: Prieto, Barsbey, Mediano, Birdal 2025, arXiv 2501.04697.

A collapsed row alone is no harm: a batch with one row that is not yet fit has its gradient from that row. What counts
is the share of the gradient that rounding took, and that it goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

STABLEMAX = Remedy(
    name="surefoot.losses.stablemax_cross_entropy",
    why="its tails are polynomial where the softmax's are exponential, so that no logit is absorbed",
    how="# after: loss\nfrom surefoot.losses import stablemax_cross_entropy\nloss_fn = stablemax_cross_entropy\n",
    apply="stablemax",
)
ORTHOGONAL_GRAD = Remedy(
    name="surefoot.optim.OrthogonalGrad",
    why="takes out of each gradient its part along the weights, which only makes the logits grow",
    how=("# after: optimizer\nfrom surefoot.optim import OrthogonalGrad\noptimizer = OrthogonalGrad(optimizer)\n"),
    apply="orthogonal-grad",
)
DOUBLE_SOFTMAX_PRECISION = Remedy(
    name="softmax in float64",
    why="moves the collapse from a lead of 16.6 nats (float32) to one of 36.7; a delay, no cure",
    how=(
        "# after: loss\n"
        "import torch\n"
        "def loss_fn(logits, targets):\n"
        "    return torch.nn.functional.cross_entropy(logits.double(), targets).to(logits.dtype)\n"
    ),
)
WEIGHT_DECAY = Remedy(
    name="weight decay",
    why="pulls back what grows only to make the logits larger",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:\n"
        '    group["weight_decay"] = max(0.1, group.get("weight_decay", 0.0))\n'
    ),
)
Z_LOSS = Remedy(
    name="surefoot.losses.z_loss",
    why="1e-4 · mean(log Z)² holds the logits as a whole near 0, at next to no cost (Wortsman et al. 2024, §3.2)",
    how=(
        "# after: loss\n"
        "from surefoot.losses import cross_entropy_with_z_loss\n"
        "def loss_fn(logits, targets):\n"
        "    return cross_entropy_with_z_loss(logits, targets).total\n"
    ),
    apply="z-loss",
)
_LOOKS = 3
_HALF, _NEARLY_ALL = 0.5, 0.9
_QUARTER, _FEWEST = 0.25, 64  # of the run so far, and steps
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


def _collapse(history: History, name: str) -> _Collapse | None:
    if any(level.nonfinite_step is not None for level in history.losses.values()):
        return None  # of NaN nothing was rounded
    steps, lost = _measured(history, "softmax_rounding_share", name)
    half, pair = lost >= _HALF, lost >= _NEARLY_ALL
    runs = [
        i
        for i in range(1, len(lost))
        if pair[i - 1 : i + 1].all() or (i >= _LOOKS - 1 and half[i - _LOOKS + 1 : i + 1].all())
    ]
    if not runs:
        return None
    began = int(steps[runs[0] - (1 if pair[runs[0] - 1 : runs[0] + 1].all() else _LOOKS - 1)])
    newest = lost[steps > (1 - _QUARTER) * history.step]
    if _QUARTER * history.step >= _FEWEST and len(newest) >= 2 and np.median(newest) >= _NEARLY_ALL:
        return _Collapse(began, float(np.median(newest)), _NEARLY_ALL, "warning", "for the last quarter of the run")
    at, shift = _shift(history, name)
    before = shift[at < began]
    if len(before) and len(shift) >= _LOOKS and shift[-_LOOKS:].min() >= max(_LEVEL, _GROWN * before[-1]):
        outcome = f"and what is left has pushed all logits to {history.value('logit_shift', name):.3g}"
        return _Collapse(began, float(lost[runs].max()), _HALF, "warning", outcome)
    if runs[-1] == len(lost) - 1:
        return _Collapse(began, float(lost[-1]), _HALF, "info", "in this batch")
    return None


@rule("softmax-collapse", needs=("logits",))
def softmax_collapse(history: History) -> Sign | None:
    """Half of the gradient on the logits is rounding, at three looks in a row, or nine tenths at two: info. Warning
    where

    * nine tenths of it are, by the median over the last quarter of the run (64 steps and two looks at least); or
    * the logits have drifted together since, to 10 and four times what they were: rows of a gradient that no longer sum
      to 0 push them.
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
        )  # fmt: skip
        cause = (
            f"the softmax has run out of precision: {100 * rows:.3g} % of the rows have a probability of exactly 1, "
            f"and {100 * found.share:.3g} % of the gradient is rounding, {found.outcome}."
        )
        cures = (STABLEMAX, ORTHOGONAL_GRAD, DOUBLE_SOFTMAX_PRECISION)
        return Sign(found.severity, cause, evidence, (name,), found.began, cures)
    return None


@rule("naive-loss-minimisation", needs=("logits",))
def naive_loss_minimisation(history: History) -> Sign | None:
    """A gradient that points along the weights (cosine ½ or more) at three looks in a row on which the batch was fit:
    info. Warning where that is how the softmax collapsed (see :func:`softmax_collapse`): the median alignment while
    there was gradient left was ½ or more.
    """
    at, alignment = _measured(history, "nlm_alignment", "")
    aligned = dict(zip(at.tolist(), alignment.tolist(), strict=True))
    for name in history.wheres("target_margin_min"):
        steps, worst = _measured(history, "target_margin_min", name)
        found = _collapse(history, name)
        lost = found is not None and found.severity == "warning"
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
        evidence = (
            Evidence("nlm_alignment", "", step, value, _HALF, _ALONG),
            Evidence("target_margin_min", name, step, margin, 0.0, "every row of the batch is right"),
        )
        outcome = "until the gradient was rounding" if lost else "and the loss falls for that alone"
        cause = (
            f"the data are fit and the gradient points along the weights (cosine {value:.2g}): logits grow, {outcome}."
        )
        cures = (ORTHOGONAL_GRAD, STABLEMAX, WEIGHT_DECAY)
        return Sign("warning" if lost else "info", cause, evidence, (), fit[0][0], cures)
    return None


_GROWN, _LEVEL, _COARSE = 4.0, 10.0, 1 / 8
_DRIFT = "|log Z| above 10 and drifting by more than 1 in a tenth of the run (after Wortsman et al. 2024, §3.2)"
_ROUNDS = "what a logit is off by, 1 − p of its row is off by relative to itself: an eighth of the gradient is rounding"


@rule("output-logit-divergence", needs=("logits",))
def output_logit_divergence(history: History) -> Sign | None:
    """All logits drift together: |log Z| and |mean logit| are both above 10, four times their first level, and have
    moved by more than 1 in the last tenth of the run: info.

    Warning where it costs something: the logits' own dtype rounds by an eighth of a nat or more there (at 32 in
    bfloat16, 256 in float16), which is an eighth of each row's gradient; or the loss has risen clearly above its best.
    The softmax itself does not see a common shift, and logits that are large because rows are told apart (a small
    temperature, a wide margin) have no common shift.
    """
    for name in history.wheres("log_partition_mean"):
        _, log_z = _measured(history, "log_partition_mean", name)
        steps, shift = _shift(history, name)
        if len(shift) < _LOOKS:
            continue
        # the first rows are kept however long the run is
        first = min(float(shift[0]), _first(history, name))
        tenth = shift[steps <= 0.9 * history.step]
        now = float(shift[-_LOOKS:].min())
        if now < _LEVEL or now < _GROWN * first or not len(tenth) or shift[-1] - tenth[-1] <= 1.0:
            continue
        rounding = history.value("logit_rounding", name)
        level = next(iter(history.losses.values()), None)
        rising = (
            level is not None
            and len(history.losses) == 1
            and level.count >= 8
            and level.low > level.best + max(3 * level.best_noise, 0.1 * abs(level.best))
        )
        evidence = (
            Evidence("log_partition_mean", name, int(steps[-1]), float(log_z[-1]),
                     float(np.copysign(_LEVEL, log_z[-1])), _DRIFT),
            Evidence("logit_rounding", name, int(steps[-1]), rounding, _COARSE, _ROUNDS),
        )  # fmt: skip
        costs = "and the loss rises" if rising else f"where their dtype rounds by {rounding:.2g} nats"
        cause = f"all logits drift together: log Z went from {log_z[0]:.3g} to {log_z[-1]:.3g}, {costs}."
        began = _since(steps, shift >= _LEVEL)
        return Sign("warning" if rising or rounding >= _COARSE else "info", cause, evidence, (name,), began,
                    (Z_LOSS, WEIGHT_DECAY))  # fmt: skip
    return None


def _measured(history: History, signal: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    steps, values = history.series(signal, where)
    known = np.isfinite(values)
    return steps[known], values[known]


def _since(steps: np.ndarray, holds: np.ndarray) -> int:
    """The first step of the unbroken stretch to the end in which something holds."""
    broken = np.flatnonzero(~holds)
    return int(steps[broken[-1] + 1 if len(broken) and broken[-1] + 1 < len(steps) else 0])


def _shift(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """How far all logits are from 0 together: the smaller of |log Z| and their |mean|, at the looks that have both."""
    steps, log_z = history.series("log_partition_mean", name)
    _, mean = history.series("logit_shift", name)
    shift = np.minimum(np.abs(log_z), np.abs(mean))
    known = np.isfinite(shift)
    return steps[known], shift[known]


def _first(history: History, name: str) -> float:
    found = [layers[name] for layers in history.first_layers("log_partition_mean")]
    known = [abs(value) for value in found if np.isfinite(value)]
    return known[0] if known else np.inf
