"""What changed when harm began: other forms of findings, told where a run is evidently worse than it was.

Each rule of its own asks whether something is so far off that it must do harm; for what does no harm elsewhere, that is
far. Where harm shows by itself (:mod:`surefoot.findings.harm`), the question is another: what changed at that time? A
quantity that went beyond all it had been while the run went well, by an order of magnitude (a share: by half of all),
and stayed there, is told. The run is its own reference; there is no bound that would hold for another.

What only follows from others (norms of gradients and weights, the rank of activations) is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.harm import Harm, harms
from surefoot.findings.history import History
from surefoot.findings.levels import ROUNDING
from surefoot.findings.remedies import best_of, floor_rate
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.attention import QK_CLIP, QK_NORM
from surefoot.findings.rules.batches import SHUFFLE
from surefoot.findings.rules.decided_policy import BASELINE
from surefoot.findings.rules.frozen_choice import WARMER
from surefoot.findings.rules.game_cures import cures_of_collapse
from surefoot.findings.rules.growing_weight import bounds
from surefoot.findings.rules.hyperbolic import LET_GO
from surefoot.findings.rules.input_cures import OTHER_UNIT, STANDARDISE
from surefoot.findings.rules.phases import STEP_ALL, TRAIN_MODE
from surefoot.findings.rules.posterior import FREE_BITS, KL_WARMUP
from surefoot.findings.rules.rank_collapse import ATTENTION_SKIP, SMALL_BRANCHES
from surefoot.findings.rules.softmax_cures import STABLEMAX
from surefoot.findings.rules.surrogates import WIDER
from surefoot.findings.rules.term_cures import BALANCE
from surefoot.findings.rules.zero_variance import EXPLORE, SPREAD
from surefoot.runs.schema import Evidence, Remedy

_TIMES = 10.0
_HALF = 0.5
_FLAT = 0.75  # of a layer: networks that learn well reach 70 %
_BEFORE = 2  # looks from when the run went well
_NEWEST = 8  # looks since the harm began whose middle is compared
_FIRST, _OF_RUN = 8, 0.25  # looks before, up to that step and that part of the way, are of a run that finds its feet
_SOURCE = {
    "share": "the most it was while the run went well, and half of all beyond that",
    "grows": "ten times the most it was while the run went well",
    "shrinks": "a tenth of the least it was while the run went well",
    "leaps": "the most it was while the run went well, and ten times what it was last",
}


@dataclass(frozen=True)
class _Change:
    """What a signal was at most (shrinks: at least; leaps: last) while the run went well, and its middle since."""

    where: str
    usual: float
    now: float
    bound: float
    step: int


Cures = Callable[[History, Harm, _Change], tuple[Remedy, ...]]


@dataclass(frozen=True)
class _Mark:
    """A signal that tells of a finding by its change."""

    signal: str
    family: str  # of which a new row lets it be asked for: rates are in every row, and may wait for a look
    way: Literal["share", "grows", "shrinks", "leaps"]
    says: str  # what it is, in the words of a cause
    cures: Cures
    looks: int = 2  # since the harm began
    at_once: bool = False  # a fact of data or script, no effect: three quarters of all looks since the best show it
    usual: Callable[[np.ndarray], float] = np.min  # what it must shrink from
    serves: Callable[[History, Harm, _Change], bool] = lambda history, harm, change: True
    least: float = 0.0  # of a share: up to there it does no harm


def _changed(history: History, mark: _Mark, harm: Harm) -> list[_Change]:
    """Where the signal has gone beyond all it was before the harm."""
    found = []
    for where in history.wheres(mark.signal):
        steps, values = history.measured(mark.signal, where)
        well = harm.step if mark.at_once else harm.until
        before = np.abs(values[(steps <= well) & (steps >= min(_FIRST, _OF_RUN * harm.step))])
        since = np.abs(values[steps > (harm.step if mark.at_once else harm.since)])
        if len(before) < _BEFORE or len(since) < mark.looks:
            continue
        now = float(np.quantile(since, 0.25) if mark.at_once else np.median(since[-_NEWEST:]))
        least, most = float(mark.usual(before)), float(before.max())
        if mark.way == "shrinks":
            bound, passed = least / _TIMES, now <= least / _TIMES < least
            usual = least
        elif mark.way == "leaps":
            usual = _last(steps, values, harm)
            bound = max(most, _TIMES * usual)
            passed = now >= bound and now > most
        else:
            bound = max(most + _HALF, mark.least) if mark.way == "share" else _TIMES * most
            usual, passed = most, now >= bound and now > 0
        if passed:
            found.append(_Change(where, usual, now, bound, int(steps[-1])))
    return found


def _last(steps: np.ndarray, values: np.ndarray, harm: Harm) -> float:
    """What it was right before its largest leap of the time in which harm began."""
    at = np.flatnonzero((steps > harm.step) & (steps <= harm.since) & (values > 0))
    at = at[at > 0]
    with np.errstate(divide="ignore"):
        leaps = values[at] / values[at - 1]
    return float(values[at[leaps.argmax()] - 1]) if len(at) else np.inf


def _check(marks: tuple[_Mark, ...], history: History) -> Sign | None:
    for harm in harms(history):
        for mark in marks:
            found = [c for c in _changed(history, mark, harm) if mark.serves(history, harm, c)]
            if found:
                return _sign(history, mark, harm, found)
    return None


def _sign(history: History, mark: _Mark, harm: Harm, found: list[_Change]) -> Sign:
    worst = max(found, key=lambda c: c.now if mark.way != "shrinks" else -c.now)
    at = f" of {worst.where}" if worst.where else ""
    others = f" (and of {len(found) - 1} more)" if len(found) > 1 else ""
    edge = {"shrinks": "at least", "leaps": "at last"}.get(mark.way, "at most")
    cause = (
        f"{harm.words}, and at that time {mark.says}{at}{others} changed: it was {worst.usual:.3g} {edge} while the "
        f"run went well, and is {worst.now:.3g} since step {harm.since}."
    )
    evidence = (
        Evidence(mark.signal, worst.where, worst.step, worst.now, worst.bound, _SOURCE[mark.way]),
        harm.evidence(history.step),
    )
    where = tuple(c.where for c in found if c.where)
    return Sign("warning", cause, evidence, where, harm.since, mark.cures(history, harm, worst))


def _are(*cures: Remedy) -> Cures:
    return lambda history, harm, change: cures


def _loud(history: History, harm: Harm, change: _Change) -> bool:
    """Beside all other terms together the term's gradient has grown as much, to half of theirs at least."""
    names = [name for name in history.wheres("term_gradient_norm") if name != change.where]
    steps, (own, *others) = history.together(*(("term_gradient_norm", name) for name in (change.where, *names)))
    rest = np.sum(others, axis=0) if others else np.zeros(len(steps))
    well, since = steps <= harm.step, steps > harm.since
    if not others or not well.any() or not since.any():
        return False
    return bool(
        own[since][-1] >= max(_HALF * rest[since][-1], _TIMES * np.max(own[well] / rest[well]) * rest[since][-1])
    )


def _rate_then(history: History, name: str, step: int) -> float:
    """The rate just after a step."""
    steps, rates = history.measured("learning_rate", name)
    after = rates[steps > step]
    return float(after[0]) if len(after) else np.nan


def _pushed(history: History, harm: Harm, change: _Change) -> bool:
    """They would have moved by the gradient that comes: what gets none of it stands still because of something else."""
    steps, sizes = history.measured("gradient_rms", change.where)
    moved_at, moves = history.measured("update_ratio", change.where)
    before, since = sizes[(steps <= harm.step) & (sizes > 0)], sizes[steps > harm.since]
    moved = moves[(moved_at <= harm.step) & (moves > 0)]
    if not len(before) or not len(since) or not len(moved):
        return True
    return bool(np.median(moved) * np.median(since) > ROUNDING * np.median(before))


def _of_one_type(history: History, name: str) -> bool:
    """The rates of Adam and of SGD are no measure of each other."""
    told = [o for event in history.events("optimizers") for o in event.data.get("optimizers", ())]
    return len({o.get("type") for o in told if o.get("name", "") == name}) <= 1


def _too_high(history: History, harm: Harm, change: _Change) -> bool:
    return _of_one_type(history, change.where) and _rate_then(history, change.where, harm.since) >= change.bound


def _too_low(history: History, harm: Harm, change: _Change) -> bool:
    """What is trained on is worse, too, and the rate was low when that began: no schedule that ran out after it. A
    quarter of the run has not brought back half of what was lost: what a gentle stage is to learn, it learns."""
    steps, losses = history.measured("loss", change.where)
    well, since = losses[(steps > harm.step // 2) & (steps <= harm.step)], losses[steps > harm.since]
    quarter = len(since) // 4
    if len(history.losses) > 1 or not len(well) or not quarter or not _of_one_type(history, change.where):
        return False  # of a game the losses tell nothing
    if history.step - harm.since < _OF_RUN * history.step:
        return False
    usual, then, now = (float(np.median(part)) for part in (well, since[:quarter], since[-quarter:]))
    worse = np.quantile(since, 0.25) > np.quantile(well, 0.75) and now - usual >= _HALF * (then - usual)
    return bool(worse) and _rate_then(history, change.where, harm.since) <= change.bound


def _slower(history: History, harm: Harm, change: _Change) -> tuple[Remedy, ...]:
    return best_of((remedies.cap_rate(change.usual), remedies.lower_rate(change.now / change.usual)))


def _faster(history: History, harm: Harm, change: _Change) -> tuple[Remedy, ...]:
    return best_of((floor_rate(change.usual / 10),), str(floor_rate(change.usual).apply))


def _collapse(history: History, harm: Harm, change: _Change) -> tuple[Remedy, ...]:
    return cures_of_collapse(history)


def _cap(history: History, harm: Harm, change: _Change) -> tuple[Remedy, ...]:
    """The weight may stay what it was while the run went well."""
    steps, weights = history.measured("term_weight", change.where)
    well = weights[(steps <= harm.step) & (weights > 0)]
    return bounds(well, (BALANCE,)) if len(well) else (BALANCE,)


def _thaw(history: History, harm: Harm, change: _Change) -> tuple[Remedy, ...]:
    """What holds them may be a rate of 0."""
    if not any(event.data.get("why") == "rate 0" for event in history.events("unchanged")):
        return (STEP_ALL,)
    rates = [history.measured("learning_rate", name) for name in history.wheres("learning_rate")]
    most = max((float(values[steps <= harm.step].max(initial=0.0)) for steps, values in rates), default=0.0)
    return best_of((floor_rate(most / 10),), str(floor_rate(most).apply)) if most > 0 else (STEP_ALL,)


_ALIVE = best_of((remedies.LEAKY, remedies.lower_rate(10.0)))
_MARKS: dict[str, tuple[_Mark, ...]] = {
    "missing-zero-grad": (
        _Mark("stale_gradient_share", "wiring", "share", "the part of the gradient that earlier steps had left",
              _are(remedies.ZERO_GRAD), at_once=True),
    ),
    "eval-mode-training": (
        _Mark("eval_mode_share", "mode", "share", "the share of layers in evaluation mode", _are(TRAIN_MODE),
              at_once=True),
    ),
    "frozen-parameters": (
        _Mark("unchanged_share", "frozen", "share", "the share of steps that left the parameters as they were", _thaw,
              serves=_pushed),
    ),
    "unscaled-inputs": (
        _Mark("input_rms", "inputs", "grows", "the size of the inputs", _are(*OTHER_UNIT), at_once=True),
        _Mark("input_rms", "inputs", "shrinks", "the size of the inputs", _are(STANDARDISE)),
    ),
    "unshuffled-data": (
        _Mark("label_purity", "samples", "share", "how alike the labels of a batch are", _are(SHUFFLE)),
    ),
    "loss-term-imbalance": (
        _Mark("term_weight", "terms", "grows", "the weight of one term", _cap, 1, serves=_loud),
        _Mark("term_gradient_norm", "terms", "grows", "the gradient of one term", _are(BALANCE), 1, serves=_loud),
    ),
    "learning-rate-too-high": (
        _Mark("learning_rate", "weights", "grows", "the learning rate", _slower, serves=_too_high),
        _Mark("learning_rate", "weights", "leaps", "the learning rate", _slower, serves=_too_high),
    ),
    "learning-rate-too-low": (
        _Mark("learning_rate", "weights", "shrinks", "the learning rate", _faster, usual=np.median, serves=_too_low),
    ),
    "zero-variance-groups": (
        _Mark("zero_advantage_share", "policy", "share", "the share of groups that teach nothing",
              _are(SPREAD, EXPLORE, BASELINE)),
    ),
    "softmax-collapse": (
        _Mark("softmax_collapse_share", "logits", "share", "the share of rows whose softmax is rounded to 1",
              _are(STABLEMAX)),
        _Mark("policy_entropy", "policy", "shrinks", "the entropy of the policy", _are(EXPLORE, BASELINE)),
        _Mark("attention_entropy", "attention", "shrinks", "the entropy of attention", _are(QK_CLIP, QK_NORM)),
        _Mark("choice_entropy", "choices", "shrinks", "the entropy of a choice", _are(WARMER)),
    ),
    "hyperbolic-collapse": (
        _Mark("hyperbolic_distance", "distances", "shrinks", "the largest distance between points", _are(LET_GO)),
    ),
    "surrogate-mismatch": (
        _Mark("slope_share", "slopes", "shrinks", "the share of entries that a surrogate gives a gradient",
              _are(WIDER)),
    ),
    "attention-logit-growth": (
        _Mark("attention_logit_max", "attention", "grows", "the largest attention logit", _are(QK_CLIP, QK_NORM)),
    ),
    "rank-collapse": (
        _Mark("token_cosine", "rank", "share", "the cosine between tokens", _are(ATTENTION_SKIP, SMALL_BRANCHES)),
    ),
    "posterior-collapse": (
        _Mark("latent_kl", "latent", "shrinks", "what the latent variables say, in nats,", _are(KL_WARMUP, FREE_BITS)),
    ),
    "mode-collapse": (
        _Mark("generated_spread", "game", "shrinks", "the spread of what is generated", _collapse),
        _Mark("coverage", "game", "shrinks", "the share of the data that what is generated covers", _collapse),
    ),
    "dead-units": (
        _Mark("dead_share", "activations", "share", "the share of dead units", _are(*_ALIVE)),
        _Mark("active_share", "activations", "shrinks", "the share of outputs that are not 0", _are(*_ALIVE),
              looks=1),  # it is of thousands of outputs, no estimate
    ),
    "saturated-units": (
        _Mark("saturated_share", "activations", "share", "the share of saturated outputs",
              _are(*best_of((remedies.lower_rate(10.0),), "saturation-cap")), least=_FLAT),
    ),
}  # fmt: skip
for _id, _marks in _MARKS.items():
    _families = {mark.family for mark in _marks} | {"printed", "validation"}
    rule(_id, needs=tuple(sorted(_families)), beside=True)(partial(_check, _marks))
