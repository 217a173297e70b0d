"""``epsilon-dominated-update`` and ``always-clipping``: steps that something other than the learning rate decides.

Adam steps by m̂/(√v̂ + ε). While √v̂ ≫ ε the gradient's size cancels; where it falls below ε the step shrinks with it
(Wortsman et al. 2024, arXiv 2309.14322, §3.4: at ε ~ RMS(g) a layer stops learning). Clipping shortens SGD's steps by
the clip ratio, so that the rate in force is ratio · lr; Adam divides a steady ratio out again, unless √v̂ falls below ε.

Neither harms by itself: a large ε makes Adam a momentum SGD, a clip in every step makes SGD a normalised one, and a
network that has fit its data has no gradient. What is asked for is a run, or a layer, that stands still because of it.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History, Layers
from surefoot.findings.pace import SMALL_PROMISE, Pace
from surefoot.findings.progress import fit, resting, stuck_for, warming_up
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS, _SPAN = 3, 32
_KEPT = 40  # looks to go back: where every step is looked at, they span so much
_SHORT = 1 / 16  # of Adam's step: four halvings
_EIGHTH, _MOST = 1 / 8, 0.5  # of it, over a whole run; of the layers
_LOW = 0.1  # of the highest rate: from there on what is left of a schedule moves the weights hardly any more
_STILL = 2e-5
_LARGE_EPS = 1e-5  # a thousand times the usual one
_PATIENCE = 48  # steps, as for learning-rate-too-low
_FACTOR = "√v̂/(√v̂ + ε), the share that ε leaves of Adam's step; ½ at √v̂ = ε (Wortsman et al. 2024, §3.4)"
_PROMISES = "a thousandth of the loss a step; healthy runs promise several times that within their first hundred"
_LEARNED = 0.1  # of its first level that a loss must have fallen by to have learned anything
_ALL_PROMISES = "all steps so far together promise less than a tenth of the loss, which is what counts as learned"
_STILL_SOURCE = "at this rate 50,000 steps move the weights by their own size"


@rule("epsilon-dominated-update", needs=("adaptivity", "events"))
def epsilon_dominated_update(history: History) -> Sign | None:
    """In some layers most elements have √v̂ < ε at three looks in a row, over 32 steps: info. Warning where ε leaves at
    most 1/16 of Adam's step there, the loss is not yet fit, and

    * the loss learns nothing (48 steps, rate not rising), or
    * it rests far from a fit, under steps that promise less than a thousandth of it, and would promise more without
      ε, or
    * those layers stand still (update_ratio below 2·10⁻⁵) while the others move ten times faster at least;

    and where it leaves at most ⅛ of most layers' steps, all layers' gradients were below ε from the first looks on, and
    the run is over, or its rate has come down to a tenth, before the weights moved by their own size (see the code).
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
    if left <= _SHORT and not fit(history):
        still = _standing(history.layers("update_ratio"), set(names))
        if still or (not warming_up(history) and (stuck_for(history, _PATIENCE) or _held(history, left))):
            severity = "warning"
    unfinished = severity == "info" and _held_short(history, left)
    severity = "warning" if unfinished else severity
    where = tuple(still or names)
    at = where[0]
    eps = _eps(history)
    least = float(np.nanmin(factor.values[dominated]))
    bound = 0.5 if severity == "info" else _EIGHTH if unfinished else _SHORT
    evidence = [Evidence("epsilon_factor", at, factor.step, factor[at], bound, _FACTOR)]
    ratio = history.layers("update_ratio")
    if still and ratio is not None:
        evidence.append(Evidence("update_ratio", at, ratio.step, ratio[at], _STILL, _STILL_SOURCE))
    what = (
        "these layers stand still"
        if still
        else "the run ends before the weights have moved by their own size"
        if unfinished
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


def _held(history: History, left: float) -> bool:
    """Every loss rests where steps are too short to take it any further, of which ε leaves the share ``left``."""
    for name, level in history.losses.items():
        pace = history.paces.get(name)
        if pace is None or level.steps < _PATIENCE or len(pace.newest) < _FEW or not resting(level):
            return False
        promise = float(np.median([s.overshoot for s in pace.last(_FEW)]))
        if not promise < SMALL_PROMISE <= promise / left:
            return False
    return bool(history.losses)


def _held_short(history: History, left: float) -> bool:
    """The run is over, or its rate falls, with weights that have moved less than their own size and a loss that is far
    from a fit, of a constant's, though steps 1/``left`` times as long would have been within Polyak's bound. No fit has
    made the gradients small: ε was above those of all layers at the first looks, too."""
    firsts = history.first_layers("epsilon_share")
    if left > _EIGHTH or len(firsts) < _LOOKS or not history.losses:
        return False
    if not all((f.values[np.isfinite(f.values)] >= 0.5).mean() >= _MOST for f in firsts[:_LOOKS]):
        return False
    for name, level in history.losses.items():
        pace, rate = history.paces.get(name), history.rates.get(name)
        if pace is None or rate is None or len(pace.newest) < _FEW or not level.known or level.steps < _PATIENCE:
            return False
        ends = bool(history.events("exit")) or rate.newest <= _LOW * rate.peak
        short = pace.moved_by(history.step) < 1 and np.median([s.overshoot for s in pace.newest]) < left
        if not (ends and short and level.share > _LEARNED):
            return False
    return True


_CLIPPED, _UNFINISHED, _FEW = 0.1, 0.01, 4
_RATIO = "gradient after clipping over before, median of the looks: SGD's rate in force is this share of lr"


@rule("always-clipping", needs=("gradients", "events"))
def always_clipping(history: History) -> Sign | None:
    """At each of the last four looks the gradient was clipped, to a tenth or less by the median: info.

    Warning where the loss learns nothing, or rests far from a fit, for that reason, after 48 steps with a rate that
    does not rise: SGD's steps are below 2·10⁻⁵ of the weights, or promise less than a thousandth of the loss, or all
    together less than the tenth that counts as learned, and would not without clipping; or ε leaves at most 1/16 of an
    adaptive optimiser's step and would leave half of it without clipping. Warning, too, where a run of SGD is over
    that was left a hundredth of its gradients, of which all of it would have been within Polyak's bound, and whose loss
    was still falling and above a tenth of its first.
    """
    for name in history.wheres("clip_ratio"):
        steps, ratio = _clipped(history, name)
        if not len(steps):
            continue
        pace = history.paces.get(name)
        adaptive = "eps" in history.optimizer(name).get("defaults", {})
        evidence = [Evidence("clip_ratio", name, int(steps[-1]), ratio, _CLIPPED, _RATIO)]
        severity: Severity = "info"
        if _nowhere(history) and not warming_up(history):
            because = _adaptive_harm(history, ratio) if adaptive else _rate_harm(history, pace, name, ratio)
            if because is not None:
                severity = "warning"
                evidence.append(because)
        elif not adaptive and ratio <= _UNFINISHED and pace is not None and _unfinished(history, pace, ratio):
            severity = "warning"
        _, norms = history.measured("gradient_norm", name)  # of half precision it may have overflowed at each look
        norm = float(np.median(norms[-_FEW:])) if len(norms) else math.nan
        effect = (
            "an adaptive optimizer divides that out again"
            if adaptive and severity == "info"
            else f"the steps are those of a learning rate {1 / max(ratio, 1e-30):.3g} times lower"
        )
        cause = f"clipping acts in every step and leaves {100 * ratio:.2g} % of the gradient: {effect}."
        return Sign(severity, cause, tuple(evidence), (name,) if name else (), int(steps[0]), (wider_clip(norm),))
    return None


def _clipped(history: History, name: str) -> tuple[np.ndarray, float]:
    """The last four looks, if all of them were clipped, and the median of what was left, if it is a tenth at most."""
    steps, ratios = history.measured("clip_ratio", name)
    steps, ratios = steps[-_FEW:], ratios[-_FEW:]
    ratio = float(np.median(ratios)) if len(ratios) else 1.0
    return (steps, ratio) if len(ratios) == _FEW and ratios.max() <= 0.999 and ratio <= _CLIPPED else (steps[:0], 1.0)


def _unfinished(history: History, pace: Pace, ratio: float) -> bool:
    """The run is over, its loss was still falling and far from a fit, and no rate was to end it; nor would its steps
    have overshot without clipping, which is how a rate for gradients of length one is chosen (see ``Stride``)."""
    if not np.median([s.overshoot for s in pace.last(_FEW)]) < ratio:
        return False
    last, levels = pace.newest[-1], history.losses.values()
    constant = last.learning_rate >= 0.5 * pace.first[0].learning_rate and not warming_up(history)
    falling = [v.steps >= _PATIENCE and v.at_half > v.recent + 2 * v.noise and v.recent > 0.1 * v.first for v in levels]
    return bool(history.events("exit")) and constant and all(falling)


def _nowhere(history: History) -> bool:
    """Every loss has learned nothing, or rests far from a fit."""
    levels = history.losses.values()
    return bool(levels) and all(v.steps >= _PATIENCE and (v.stuck or resting(v)) for v in levels)


def _rate_harm(history: History, pace: Pace | None, name: str, ratio: float) -> Evidence | None:
    if pace is None or not pace.newest:
        return None
    strides = pace.last(_FEW)
    usual = float(np.median([s.rate for s in strides]))
    if usual < _STILL <= usual / ratio:
        return Evidence("update_norm / weight_norm", name, strides[-1].step, usual, _STILL, _STILL_SOURCE)
    promise = float(np.median([s.overshoot for s in strides]))
    if promise < SMALL_PROMISE <= promise / ratio:
        return Evidence("predicted_decrease / (2 · loss)", name, strides[-1].step, promise, SMALL_PROMISE, _PROMISES)
    steps = history.losses[name].steps if name in history.losses else 0
    if steps and promise * steps < _LEARNED / 2 <= promise * steps / ratio:
        bound = _LEARNED / (2 * steps)
        return Evidence("predicted_decrease / (2 · loss)", name, strides[-1].step, promise, bound, _ALL_PROMISES)
    return None


def held_back(history: History) -> bool:
    """No layer moves, the last no more than the first: a large ε is above the gradients of all, without which an
    adaptive optimiser would make up for their decay, or clipping leaves too little of every one: a hundredth of those
    of SGD at most, or what brings it nowhere."""
    eps, factor = _eps(history), history.layers("epsilon_factor")
    if eps >= _LARGE_EPS and factor is not None and np.isfinite(factor.values).any():
        return float(np.nanmax(factor.values)) <= _SHORT
    for name in history.wheres("clip_ratio"):
        _, ratio = _clipped(history, name)
        adaptive = "eps" in history.optimizer(name).get("defaults", {})
        if ratio == 1.0:
            continue
        harm = _adaptive_harm(history, ratio) if adaptive else _rate_harm(history, history.paces.get(name), name, ratio)
        if harm is not None or (not adaptive and ratio <= _UNFINISHED):
            return True
    return False


def _adaptive_harm(history: History, ratio: float) -> Evidence | None:
    factor = history.layers("epsilon_factor")
    if factor is None or not np.isfinite(factor.values).any():
        return None
    left = float(np.nanmedian(factor.values))
    without = left / ratio / (1 - left + left / ratio)
    return (
        Evidence("epsilon_factor", "", factor.step, left, _SHORT, _FACTOR)
        if left <= _SHORT and without >= 0.5
        else None
    )


def _standing(ratio: Layers | None, dominated: set[str]) -> list[str]:
    """Layers among ``dominated`` that stand still while the others move: those that ε leaves a step, too, where it is
    above the gradients of all layers."""
    if ratio is None:
        return []
    known = {n: float(v) for n, v in zip(ratio.names, ratio.values, strict=True) if np.isfinite(v)}
    still = [n for n, v in known.items() if n in dominated and v < _STILL]
    others = [v for n, v in known.items() if n not in dominated]
    if others:
        return still if float(np.median(others)) >= 10 * _STILL else []
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
    guard."""
    eps = 10.0 ** math.floor(math.log10(root) - 6) if 0 < root < math.inf else 1e-15
    eps = min(1e-15, max(1e-19, eps))
    return Remedy(
        name="smaller eps",
        why="below every gradient again, ε only guards against a division by zero (Wortsman et al. 2024, §3.4: 1e-15)",
        how=f'# after: optimizer\nfor group in optimizer.param_groups:\n    group["eps"] = {eps:.0e}\n',
        apply="adam-eps" if eps == 1e-15 else f"adam-eps:eps={eps:.0e}",
    )


def wider_clip(norm: float) -> Remedy:
    """A threshold for clipping that only the rare large gradient reaches."""
    bound = 10 * norm if math.isfinite(norm) and norm > 0 else 1.0
    return Remedy(
        name="wider clipping",
        why="ten times the usual norm bounds what is unusual and leaves every other gradient as it is",
        how=(
            "# after: optimizer\n"
            "import torch\n"
            "def wider(clip):\n"
            '    """In the place of a function that clips; better: the number below where the script calls it."""\n'
            "    def clip_wider(parameters, *bound, **named):\n"
            f"        bound = [max(b, {bound:.2g}) for b in bound[:1]] + list(bound[1:])\n"
            "        for name in {'max_norm', 'clip_value'} & set(named):\n"
            f"            named[name] = max(named[name], {bound:.2g})\n"
            "        return clip(parameters, *bound, **named)\n"
            "    return clip_wider\n"
            "torch.nn.utils.clip_grad_norm_ = wider(torch.nn.utils.clip_grad_norm_)\n"
            "torch.nn.utils.clip_grad_value_ = wider(torch.nn.utils.clip_grad_value_)\n"
        ),
        apply=f"wider-clip:bound={bound:.2g}",
    )
