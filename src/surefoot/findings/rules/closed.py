"""Squashing activations that have shut for good: a part of ``saturated-units``.

A steepness that is raised, or weights that grow, make a soft step a hard one, and may be meant to in the end. What is
shut in the first half of a run learns no more in the second, though the rest of the model does. Trained units saturate
to 70 % in networks that learn well; with nine in ten, for half of the run, a loss that does not fall any more has its
reason. An output, or what is multiplied with something, may well be flat nearly everywhere: there it must be that not
one bit of the gradient comes back.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import ROUNDING
from surefoot.findings.progress import fit, resting
from surefoot.findings.remedies import best_of, lower_rate
from surefoot.findings.rule import Sign
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import Evidence, Remedy

MOST, _OPEN = 0.9, 0.5  # of the outputs: now, and at the first look
_HALF, _LOOKS, _STEPS = 0.5, 4, 64  # of the run so far; looks and steps that it has lasted
_SOURCE = "the run's own start; flat outputs pass on less than 2 % of the gradient"
_NONE = "one rounding error of float32 of the largest that it got"

GENTLER = Remedy(
    name="a steepness with a bound",
    why="soft steps pass a gradient for as long as there is something to learn",
    how=(
        "# after: model\n"
        "def steep(z, steepness, largest=3.0):  # in the place of steepness * z in front of a tanh or a sigmoid\n"
        "    z = steepness * z\n"
        "    return z * (largest / z.detach().square().mean().sqrt().clamp_min(largest))\n"
    ),
    apply="saturation-cap",
)


def shut(history: History) -> Sign | None:
    """Nine tenths of a layer's outputs have been flat at each look of the newest half of the run, four looks and 64
    steps at least, and not half of them were at first, while the loss is no fit and hardly falls: warning. The same of
    outputs of the model and of gates, where the layer's gradient is lost to the last bit at the newest looks; if that
    of all layers is, however long ago it was that they shut."""
    levels = list(history.losses.values())
    if not levels or fit(history) or any(level.negative for level in levels):
        return None
    rests = all(resting(level) for level in levels)
    silent = bool(history.wheres("gradient_norm")) and all(
        _lost(*history.measured("gradient_norm", name), 1) for name in history.wheres("gradient_norm")
    )
    for signal in ("saturated_share", "closed_share"):
        for name in history.wheres(signal):
            steps, shares = history.measured(signal, name)
            at = unbroken_from(shares >= MOST)
            if len(steps) - at < _LOOKS or not shares[0] < _OPEN or history.step - steps[at] < _STEPS:
                continue
            since = int(steps[at])
            got = history.measured("gradient_rms", name)
            early = rests and since <= _HALF * history.step
            if early and signal == "closed_share":
                early = _lost(*got, since)
            if early or (silent and _lost(*got, since)):
                return _sign(history, signal, name, since, float(shares[at:].min()))
    return None


def _lost(steps: np.ndarray, sizes: np.ndarray, since: int) -> bool:
    """Of the largest gradient less than a rounding error is left at the newest looks, which are 64 steps apart."""
    if not len(sizes) or not sizes.max() > 0:
        return False
    at = unbroken_from(sizes <= ROUNDING * sizes.max())
    left = steps[at:][steps[at:] >= since]
    return len(left) > 1 and bool(left[-1] - left[0] >= _STEPS)


def _sign(history: History, signal: str, name: str, since: int, share: float) -> Sign:
    evidence = [Evidence(signal, name, history.step, share, MOST, _SOURCE)]
    size, largest = history.value("gradient_rms", name), history.measured("gradient_rms", name)[1].max(initial=0.0)
    if size <= ROUNDING * largest:
        evidence.append(Evidence("gradient_rms", name, history.step, size, float(ROUNDING * largest), _NONE))
    cause = (
        f"{100 * share:.3g} % of the outputs behind {name} or more have been flat since step {since}, and the loss "
        "hardly falls: no gradient tells them of anything better."
    )
    cures = best_of((GENTLER, lower_rate(10.0)), str(GENTLER.apply))
    return Sign("warning", cause, tuple(evidence), (name,), since, cures)
