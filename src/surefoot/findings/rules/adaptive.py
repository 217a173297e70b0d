"""``epsilon-dominated-update``: steps that Adam's ε decides, and not the learning rate.

Adam steps by m̂/(√v̂ + ε). While √v̂ ≫ ε the gradient's size cancels; where it falls below ε the step shrinks with it
(Wortsman et al. 2024, arXiv 2309.14322, §3.4: at ε ~ RMS(g) a layer stops learning).

That does no harm by itself: a large ε makes Adam a momentum SGD, and a network that has fit its data has no gradient.
What is asked for is a run, or a layer, that stands still because of it.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History, Layers
from surefoot.findings.levels import ROUNDING
from surefoot.findings.pace import SMALL_PROMISE
from surefoot.findings.progress import fit, resting, stuck_for, warming_up
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.clipping import (
    FACTOR,
    PATIENCE,
    SHORT,
    STILL,
    STILL_SOURCE,
    UNFINISHED,
    adaptive_harm,
    clipped,
    rate_harm,
    slowed,
)
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS, _SPAN, _FEW = 3, 32, 4
_KEPT = 40  # looks to go back: where every step is looked at, they span so much
_EIGHTH, _MOST = 1 / 8, 0.5  # of it, over a whole run; of the layers
_LOW = 0.1  # of the highest rate: from there on what is left of a schedule moves the weights hardly any more
_LARGE_EPS = 1e-5  # a thousand times the usual one
LEAST_EPS = 1e-19  # a millionth of gradients of which single elements have squares that float32 does not hold
_LEARNED = 0.1  # of its first level that a loss must have fallen by to have learned anything


@rule("epsilon-dominated-update", needs=("adaptivity", "events"))
def epsilon_dominated_update(history: History) -> Sign | None:
    """In some layers most elements have √v̂ < ε at three looks in a row, over 32 steps: info. Warning where ε leaves at
    most 1/16 of Adam's step there, the loss is not yet fit, and

    * the loss learns nothing (48 steps, rate not rising, or ε leaves less than 2⁻²⁴ of a step, whatever the rate), or
    * it rests far from a fit, under steps that promise less than a thousandth of it, and would promise more without
      ε, or
    * those layers stand still (update_ratio below 2·10⁻⁵) while the others move ten times faster at least;

    and where it leaves at most ⅛ of most layers' steps, all layers' gradients were below ε from the first looks on, and
    all steps promised less than half of the loss, of which more is left, where whole ones would have been good ones; or
    the run is over, or its rate has come down to a tenth, before the weights moved by their own size (see the code); or
    the run is over above a tenth of a constant's loss, with an ε of 10⁻⁵ or more above the gradients of most layers at
    each look of the newer half.
    """
    newest, factor = history.layers("epsilon_share"), history.layers("epsilon_factor")
    if newest is None or factor is None or not (newest.values >= 0.5).any():
        return None
    shares = [s for s in history.recent_layers("epsilon_share", _KEPT) if s.names == newest.names]
    enough = [i for i, s in enumerate(shares) if newest.step - s.step >= _SPAN and len(shares) - i >= _LOOKS]
    if not enough:
        return None
    shares = shares[enough[-1] :]
    dominated: np.ndarray = np.all([s.values >= 0.5 for s in shares], axis=0)  # NaN is not
    if not dominated.any():
        return None
    names = [n for n, d in zip(factor.names, dominated, strict=True) if d]
    left = float(np.nanmedian(factor.values[dominated]))
    severity: Severity = "info"
    still: list[str] = []
    if left <= SHORT and not fit(history):
        still = _standing(history.layers("update_ratio"), set(names))
        yet = warming_up(history) and not _nothing(history, left)
        if still or (not yet and (stuck_for(history, PATIENCE) or _held(history, left))):
            severity = "warning"
    slow = _slow(history, left) if severity == "info" else None
    unfinished = severity == "info" and slow is None and _held_short(history, left)
    large = severity == "info" and not unfinished and slow is None and _large(history, len(names), newest)
    severity = "warning" if unfinished or large or slow is not None else severity
    where = tuple(still or names)
    at = where[0]
    eps = _eps(history)
    least = float(np.nanmin(factor.values[dominated]))
    bound = 0.5 if severity == "info" else _EIGHTH if unfinished or slow is not None else SHORT
    evidence = [Evidence("epsilon_factor", at, factor.step, factor[at], bound, FACTOR)]
    ratio = history.layers("update_ratio")
    if still and ratio is not None:
        evidence.append(Evidence("update_ratio", at, ratio.step, ratio[at], STILL, STILL_SOURCE))
    if slow is not None:
        evidence.append(slow)
    what = (
        "these layers stand still"
        if still
        else "the loss could fall as many times faster"
        if slow is not None
        else "the run ends before the weights have moved by their own size"
        if unfinished
        else "the run ends far from a fit"
        if large
        else "the loss does not move"
        if severity == "warning"
        else "the step is that of SGD"
    )
    told = f" ({eps:.2g})" if math.isfinite(eps) else ""
    layers = int(np.isfinite(newest.values).sum())
    cause = (
        f"the optimizer's ε{told} is above the gradients of {len(names)} of {layers} layers: it leaves "
        f"{100 * left:.2g} % of their steps, and {what}."
    )
    cures = (smaller_eps(eps * least / (1 - least) if least < 1 else math.nan),)
    return Sign(severity, cause, tuple(evidence), where, shares[0].step, cures)


def _nothing(history: History, left: float) -> bool:
    """A gradient is there, and ε leaves less of a step than float32 resolves of a number of its size: a rate that rises
    makes no step of that."""
    strides = [s for pace in history.paces.values() for s in pace.last(_FEW)]
    return left < ROUNDING and len(strides) >= _FEW and all(s.gradient_norm > 0 for s in strides)


def _held(history: History, left: float) -> bool:
    """Every loss rests where steps are too short to take it any further, of which ε leaves the share ``left``."""
    for name, level in history.losses.items():
        pace = history.paces.get(name)
        if pace is None or level.steps < PATIENCE or len(pace.newest) < _FEW or not resting(level):
            return False
        promise = float(np.median([s.overshoot for s in pace.last(_FEW)]))
        if not promise < SMALL_PROMISE <= promise / left:
            return False
    return bool(history.losses)


def _from_the_start(history: History, left: float) -> bool:
    """ε leaves ``left``, an eighth at most, and was above the gradients of most layers at the first looks, too: no fit
    has made them small."""
    firsts = history.first_layers("epsilon_share")[:_LOOKS]
    if left > _EIGHTH or len(firsts) < _LOOKS:
        return False
    return all((f.values[np.isfinite(f.values)] >= 0.5).mean() >= _MOST for f in firsts)


def _large(history: History, dominated: int, newest: Layers) -> bool:
    """The run is over and no fit of what a constant would score; its ε, a thousand times the usual one or more, was
    chosen, and is above the gradients of most layers since half of the steps, at every look."""
    rows = [s for s in history.recent_layers("epsilon_share", _KEPT) if 2 * s.step >= history.step]
    most = len(rows) >= _LOOKS and all((r.values[np.isfinite(r.values)] >= 0.5).mean() >= _MOST for r in rows)
    if not most or dominated < _MOST * np.isfinite(newest.values).sum() or not history.events("exit"):
        return False
    levels = history.losses.values()
    return _eps(history) >= _LARGE_EPS and bool(levels) and all(v.constant > 0 and v.share > _LEARNED for v in levels)


def _slow(history: History, left: float) -> Evidence | None:
    """Every loss is slower for it by what ε leaves, and could have stood whole steps (see ``slowed``)."""
    found = []
    for name in history.losses if _from_the_start(history, left) else ():
        pace = history.paces.get(name)
        found.append(None if pace is None or not pace.newest else slowed(history, pace, name, left, 1 / left))
    return found[0] if found and all(found) else None


def _held_short(history: History, left: float) -> bool:
    """The run is over, or its rate falls, with weights that have moved less than their own size and a loss that is far
    from a fit, of a constant's, though steps 1/``left`` times as long would have been within Polyak's bound. No fit has
    made the gradients small: ε was above those of all layers at the first looks, too."""
    if not _from_the_start(history, left) or not history.losses:
        return False
    for name, level in history.losses.items():
        pace, rate = history.paces.get(name), history.rates.get(name)
        if pace is None or rate is None or len(pace.newest) < _FEW or not level.known or level.steps < PATIENCE:
            return False
        ends = bool(history.events("exit")) or rate.newest <= _LOW * rate.peak
        short = pace.moved_by(history.step) < 1 and np.median([s.overshoot for s in pace.newest]) < left
        if not (ends and short and level.share > _LEARNED):
            return False
    return True


def held_back(history: History) -> bool:
    """No layer moves, the last no more than the first: a large ε is above the gradients of all, without which an
    adaptive optimiser would make up for their decay, or clipping leaves too little of every one: a hundredth of those
    of SGD at most, or what brings it nowhere."""
    eps, factor = _eps(history), history.layers("epsilon_factor")
    if eps >= _LARGE_EPS and factor is not None and np.isfinite(factor.values).any():
        return float(np.nanmax(factor.values)) <= SHORT
    for name in history.wheres("clip_ratio"):
        _, ratio = clipped(history, name)
        adaptive = "eps" in history.optimizer(name).get("defaults", {})
        if ratio == 1.0:
            continue
        harm = adaptive_harm(history, ratio) if adaptive else rate_harm(history, history.paces.get(name), name, ratio)
        if harm is not None or (not adaptive and ratio <= UNFINISHED):
            return True
    return False


def _standing(ratio: Layers | None, dominated: set[str]) -> list[str]:
    """Layers among ``dominated`` that stand still while the others move: those that ε leaves a step, too, where it is
    above the gradients of all layers."""
    if ratio is None:
        return []
    known = {n: float(v) for n, v in zip(ratio.names, ratio.values, strict=True) if np.isfinite(v)}
    still = [n for n, v in known.items() if n in dominated and v < STILL]
    others = [v for n, v in known.items() if n not in dominated]
    if others:
        return still if float(np.median(others)) >= 10 * STILL else []
    others = [v for n, v in known.items() if n not in still]
    return [n for n in still if others and float(np.median(others)) >= 10 * known[n]]


def _eps(history: History) -> float:
    for event in reversed(history.events("optimizers")):
        for optimizer in event.data.get("optimizers", ()):
            eps = optimizer.get("defaults", {}).get("eps")
            if isinstance(eps, int | float):
                return float(eps)
    return math.nan


def smaller_eps(root: float) -> Remedy:
    """An ε far below ``root``, the √v̂ of the smallest gradients (NaN where it is not known): a millionth, as 1e-8 is of
    an ordinary gradient, for as training goes on they become smaller. Below 1e-19 float32 holds no v̂ that it could
    guard, and the gradients have to be larger ones."""
    eps = 10.0 ** math.floor(math.log10(root) - 6) if 0 < root < math.inf else 1e-15
    eps = min(1e-15, max(1e-37, eps))
    if eps < LEAST_EPS:
        return Remedy(
            name="a loss in a larger unit",
            why="gradients whose squares float32 cannot hold are none for Adam, whatever ε is; larger ones are",
            how=(
                "# after: optimizer\n"
                "for group in optimizer.param_groups:  # better: multiply the loss, or convert the data\n"
                '    for p in group["params"]:\n'
                f"        p.register_hook(lambda gradient: gradient * {1e-8 / eps:.0e})\n"
            ),
            apply=f"adam-eps:eps={eps:.0e}",
        )
    return Remedy(
        name="smaller eps",
        why="below every gradient again, ε only guards against a division by zero (Wortsman et al. 2024, §3.4: 1e-15)",
        how=f'# after: optimizer\nfor group in optimizer.param_groups:\n    group["eps"] = {eps:.0e}\n',
        apply="adam-eps" if eps == 1e-15 else f"adam-eps:eps={eps:.0e}",
    )
