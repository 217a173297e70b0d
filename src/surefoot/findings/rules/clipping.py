"""``always-clipping``: the bound on the gradient, not the learning rate, decides how long every step is.

Clipping shortens SGD's steps by the clip ratio, so that the rate in force is ratio · lr; Adam divides a steady ratio
out again, unless √v̂ falls below ε. That makes SGD a normalised one, which does no harm by itself: what is asked for is
a run that stands still because of it, or that is slower for it by a decade where no step would have been too long.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.pace import SMALL_PROMISE, Pace
from surefoot.findings.progress import fit, one_loss, promised_nothing, resting, warming_up
from surefoot.findings.rule import Sign, rule
from surefoot.findings.slower import GOOD_STEP
from surefoot.runs.schema import Evidence, Remedy, Severity

UNFINISHED = 0.01  # of the gradient: two decades
SHORT = 1 / 16  # of Adam's step: four halvings
STILL = 2e-5
PATIENCE = 48  # steps, as for learning-rate-too-low
FACTOR = "√v̂/(√v̂ + ε), the share that ε leaves of Adam's step; ½ at √v̂ = ε (Wortsman et al. 2024, §3.4)"
STILL_SOURCE = "at this rate 50,000 steps move the weights by their own size"
_PROMISES = "a thousandth of the loss a step; healthy runs promise several times that within their first hundred"
_LEARNED = 0.1  # of its first level that a loss must have fallen by to have learned anything
_ALL_PROMISES = "all steps so far together promise less than a tenth of the loss, which is what counts as learned"
_NOTHING = (
    "for a convex loss no step takes away more than it promised to first order: all steps did not promise twice the "
    "tenth that counts as learned, or so far less than one 2,000th of it a step"
)
_CLIPPED, _FEW = 0.1, 4
_TIGHTER = 1 / 30  # of the share that was left at first
_HALF = 0.5  # of the loss, and of the curvature that the rate can stand
_HALVES = (
    "for a convex loss no step takes away more than it promised to first order: by now not half of the loss, where "
    "whole steps would have been within all bounds"
)
_RATIO = "gradient after clipping over before, median of the looks: SGD's rate in force is this share of lr"


@rule("always-clipping", needs=("gradients", "events"))
def always_clipping(history: History) -> Sign | None:
    """At each of the last four looks the gradient was clipped, to a tenth or less by the median: info.

    Warning where the loss learns nothing, or rests far from a fit, for that reason, after 48 steps with a rate that
    does not rise: SGD's steps are below 2·10⁻⁵ of the weights, or promise less than a thousandth of the loss, or all
    together less than the tenth that counts as learned, and would not without clipping (or they promised next to
    nothing in all, where whole ones would have been good); or ε leaves at most 1/16 of an adaptive optimiser's step and
    would leave half of it without clipping. Warning, too, after 48 steps of SGD that promised less than half of the
    loss in all, at a rate that does not rise and would have been a good one without clipping, where more than half of
    it is left; and where a run of SGD is over that was left a hundredth of its gradients, of which all of it would have
    been within Polyak's bound, and whose loss was still falling and above a tenth of its first.
    """
    for name in history.wheres("clip_ratio"):
        steps, ratio = clipped(history, name)
        if not len(steps):
            continue
        pace = history.paces.get(name)
        adaptive = "eps" in history.optimizer(name).get("defaults", {})
        evidence = [Evidence("clip_ratio", name, int(steps[-1]), ratio, _CLIPPED, _RATIO)]
        severity: Severity = "info"
        because = None
        if _nowhere(history) and not warming_up(history):
            because = adaptive_harm(history, ratio) if adaptive else rate_harm(history, pace, name, ratio)
        if because is None and not adaptive and pace is not None:
            because = slowed(history, pace, name, ratio)
        if because is not None:
            severity = "warning"
            evidence.append(because)
        elif not adaptive and ratio <= UNFINISHED and pace is not None and _unfinished(history, pace, ratio):
            severity = "warning"
        elif not adaptive and (tighter := _tighter(history, name, ratio)) is not None:
            severity = "warning"
            evidence.append(tighter)
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


def clipped(history: History, name: str) -> tuple[np.ndarray, float]:
    """The last four looks, if all of them were clipped, and the median of what was left, if it is a tenth at most."""
    steps, ratios = history.measured("clip_ratio", name)
    steps, ratios = steps[-_FEW:], ratios[-_FEW:]
    ratio = float(np.median(ratios)) if len(ratios) else 1.0
    return (steps, ratio) if len(ratios) == _FEW and ratios.max() <= 0.999 and ratio <= _CLIPPED else (steps[:0], 1.0)


def slowed(history: History, pace: Pace, name: str, left: float, bends: float = 1.0) -> Evidence | None:
    """More than half of the loss is left, and all steps together promised less than that; without what leaves the share
    ``left`` of each, it would have been a good one still: it would have promised a fifth of what Polyak's bound allows
    at most, in a bowl of half of the curvature that the rate can stand, where that was measured. ``bends`` is how many
    times the measured curvature is that of such a step: clipping changes nothing about it, ε does."""
    level, strides = history.losses.get(name), list(pace.newest)
    if level is None or level.negative or level.steps < PATIENCE or not one_loss(history):
        return None
    before = next((s for s in reversed(strides) if 4 * s.step <= 3 * history.step), strides[0])
    if strides[-1].learning_rate > 1.01 * before.learning_rate or level.recent <= _HALF * level.first:
        return None
    whole = max(s.overshoot for s in strides[-_FEW:]) / left
    _, curved = history.measured("stability_coefficient", name)
    if not 0 < whole <= GOOD_STEP or (len(curved) and bends * curved.max() > _HALF):
        return None
    promised = pace.promised_by(history.step)
    if not 0 < promised < _HALF <= promised / left:
        return None
    return Evidence("Σ predicted_decrease / loss", name, strides[-1].step, promised, _HALF, _HALVES)


def _tighter(history: History, name: str, ratio: float) -> Evidence | None:
    """Of a bound that follows the gradients it has clipped, and so falls with them: a hundredth of the gradient is left
    at most, and a thirtieth of the share that was left when it began to clip, while the loss is no fit."""
    _, ratios = history.measured("clip_ratio", name)
    first = ratios[ratios <= 0.999][:_FEW]
    if fit(history) or len(first) < _FEW or not ratio <= min(UNFINISHED, _TIGHTER * float(np.median(first))):
        return None
    source = "a thirtieth of the share that was left of the gradient when clipping began, by the median of four looks"
    return Evidence("clip_ratio", name, history.step, ratio, _TIGHTER * float(np.median(first)), source)


def _unfinished(history: History, pace: Pace, ratio: float) -> bool:
    """The run is over, its loss was still falling and far from a fit, and no rate was to end it; nor would its steps
    have overshot without clipping, which is how a rate for gradients of length one is chosen (see ``Stride``)."""
    if not np.median([s.overshoot for s in pace.last(_FEW)]) < ratio:
        return False
    last, levels = pace.newest[-1], history.losses.values()
    constant = last.learning_rate >= 0.5 * pace.first[0].learning_rate and not warming_up(history)
    falling = [v.steps >= PATIENCE and v.at_half > v.recent + 2 * v.noise and v.recent > 0.1 * v.first for v in levels]
    return bool(history.events("exit")) and constant and all(falling)


def _nowhere(history: History) -> bool:
    """Every loss has learned nothing, or rests far from a fit."""
    levels = history.losses.values()
    return bool(levels) and all(v.steps >= PATIENCE and (v.stuck or resting(v)) for v in levels)


def rate_harm(history: History, pace: Pace | None, name: str, ratio: float) -> Evidence | None:
    """What shows that SGD gets nowhere since clipping leaves ``ratio`` of its steps, and would without."""
    if pace is None or not pace.newest:
        return None
    strides = pace.last(_FEW)
    usual = float(np.median([s.rate for s in strides]))
    if usual < STILL <= usual / ratio:
        return Evidence("update_norm / weight_norm", name, strides[-1].step, usual, STILL, STILL_SOURCE)
    promise = float(np.median([s.overshoot for s in strides]))
    if promise < SMALL_PROMISE <= promise / ratio:
        return Evidence("predicted_decrease / (2 · loss)", name, strides[-1].step, promise, SMALL_PROMISE, _PROMISES)
    level = history.losses.get(name)
    if level is None:
        return None
    if promise * level.steps < _LEARNED / 2 <= promise * level.steps / ratio:
        bound = _LEARNED / (2 * level.steps)
        return Evidence("predicted_decrease / (2 · loss)", name, strides[-1].step, promise, bound, _ALL_PROMISES)
    found = promised_nothing(level, pace, history.step, bool(history.events("exit")))
    if found is None or max(s.overshoot for s in pace.newest) > ratio * GOOD_STEP:
        return None
    # the rate may be too low as well: of the factor that is missing, clipping must have taken the larger part
    promised, bound = found
    much = promised >= ratio**2 * bound
    return Evidence("Σ predicted_decrease / loss", name, strides[-1].step, *found, _NOTHING) if much else None


def adaptive_harm(history: History, ratio: float) -> Evidence | None:
    """What shows that ε stops an adaptive optimiser since clipping leaves ``ratio`` of the gradient."""
    factor = history.layers("epsilon_factor")
    if factor is None or not np.isfinite(factor.values).any():
        return None
    left = float(np.nanmedian(factor.values))
    without = left / ratio / (1 - left + left / ratio)
    return (
        Evidence("epsilon_factor", "", factor.step, left, SHORT, FACTOR) if left <= SHORT and without >= 0.5 else None
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
