"""``off-critical-initialisation``: weights of the wrong size make signal and gradient grow or shrink with every layer.

A layer multiplies the squared gradient by χ = C_W ⟨σ'²⟩, with C_W the variance of its weights times the fan-in; only
at χ = 1 does a deep network without norms or skips pass both on (Roberts, Yaida, Hanin 2022, arXiv 2106.10165, ch. 5).
This is what the vanishing or exploding gradient of an unsuitable start goes back to. An activation that has no
critical point, such as the sigmoid, is not cured by other weights, and is no case of this.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.depth import Profile, profile
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.progress import had_learned, resting, stuck_for, units_lost
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.exploding import from_the_start
from surefoot.findings.rules.vanishing import over_depth
from surefoot.findings.start import CRITICAL, activation_of, cures_of_start, explained, weight_size
from surefoot.runs.schema import Evidence, Severity

_NOTED, _SHRUNK, _GROWN, _BACK = 6.0, 12.0, 10.0, 6.0  # bits over the whole depth
_DEAF = 18.0  # bits: what is left of float32's 24 is too little to tell one input from another beside the biases
_LONG, _SOON = 128, 64  # steps
# Of the critical variance: usual starts draw with a sixth (PyTorch's layers, under ReLU) to twice of it (untrained
# healthy networks of the clinic).
_LARGE, _SMALL = 4.0, 1 / 50
_ABSURD = 3.0  # of a constant's loss
_UNFIT = 0.2  # of it, as for a loss that rests


@rule("off-critical-initialisation", needs=("gradients", "events"))
def off_critical_initialisation(history: History) -> Sign | None:
    """At the first looks signal or gradient changes geometrically over depth, by 2⁶ in all, as the size of the weights
    explains: info. Warning or critical where it was the start of what ``vanishing-gradient`` or ``exploding-gradient``
    now judges so; warning, too, where 2⁻¹⁸ was left at the start and the loss has learned nothing for 128 steps since:
    biases, whose gradient does not need the signal, have then grown in its place and hide the decay, but not undone it.
    Where no growth over depth is seen: weights of four times the critical variance, or a fiftieth of it; see the code.
    There a run that is over above a fifth of a constant's loss, all of whose layers began so large, counts, too.
    """
    told = history.events("initialisation")
    activation = activation_of(history)
    if not told or activation not in CRITICAL:
        return None
    firsts = {signal: history.first_layers(signal)[:2] for signal in ("activation_rms", "gradient_rms")}
    start = {signal: p for signal, rows in firsts.items() if (p := _geometric(history, rows)) is not None}
    if not start or max(abs(p.bits) for p in start.values()) < _NOTED:
        return _by_size(history, activation)
    forward, backward = start.get("activation_rms"), start.get("gradient_rms")
    shrinks = (backward is not None and backward.bits <= -_NOTED) or (forward is not None and forward.bits >= _SHRUNK)
    grows = (forward is not None and forward.bits <= -_GROWN) or (backward is not None and backward.bits >= _BACK)
    harm = from_the_start(history) if grows else None
    deaf = shrinks and max(abs(p.bits) for p in start.values()) >= _DEAF and stuck_for(history, _LONG)
    # what once let something of the inputs through to be learned is not why nothing is learned now
    shrinks = shrinks and not had_learned(history)
    harm = over_depth(history) if harm is None and shrinks else harm
    signal = max(start, key=lambda name: abs(start[name].bits))
    steps = {name: rows[0].step for name, rows in firsts.items() if rows}
    size = weight_size(history, start[signal])
    slope = start[signal].slope if signal == "activation_rms" else -start[signal].slope
    if size == size and not explained(slope, size / CRITICAL[activation]):
        return None
    evidence = [
        Evidence(f"{name} growth a layer, squared", p.names[-1], steps[name], float(4.0**p.slope), 1.0,
                 "χ = 1 at criticality (Roberts, Yaida, Hanin 2022, ch. 5)")
        for name, p in start.items()
    ]  # fmt: skip
    evidence.append(
        Evidence(f"{signal} over the whole depth", start[signal].names[-1], steps[signal],
                 float(2.0 ** -start[signal].bits), 2.0 ** (-_NOTED if start[signal].bits > 0 else _NOTED),
                 "2⁻⁶ is 1 % of the signal, or of the gradient")
    )  # fmt: skip
    what = "signal" if signal == "activation_rms" else "gradient"
    toward = "output" if signal == "activation_rms" else "input"
    cause = (
        f"the weights start off criticality: the {what} changes by a factor {2.0**slope:.3g} with every layer toward "
    )
    cause += f"the {toward}"
    if size == size:
        evidence.append(
            Evidence(
                "weight variance · fan-in",
                "",
                steps[signal],
                size,
                CRITICAL[activation],
                f"C_W of the critical point of {activation or 'a linear network'}",
            )
        )
        cause += f" (weight variance times fan-in is {size:.3g}, critical is {CRITICAL[activation]:.4g})"
    severity: Severity = harm.severity if harm is not None else "warning" if deaf else "info"
    if size != size:
        severity = "info"  # weights whose size is not known are not said to be what the decay or growth goes back to
    where = start[signal].names if harm is None else harm.where
    cures = cures_of_start(history, start[signal], toward_output=signal == "activation_rms")
    return Sign(severity, cause + ".", tuple(evidence), where, steps[signal], cures)


def _by_size(history: History, activation: str) -> Sign | None:
    """Too few layers to see a growth over depth: weights of another size than any usual start draws them, a first loss
    or a first signal that shows it, and harm that goes back to it."""
    level = next(iter(history.losses.values())) if len(history.losses) == 1 else None
    sizes = [v for v in history.events("initialisation")[0].data.get("weight_variance", {}).values() if v and v > 0]
    firsts = history.first_layers("activation_rms")
    if level is None or not activation or len(sizes) < 2 or not firsts:
        return None
    ratio, step = float(np.median(sizes)) / CRITICAL[activation], firsts[0].step
    known = firsts[0].values[np.isfinite(firsts[0].values) & (firsts[0].values > 0)]
    size = Evidence("weight variance · fan-in", "", step, ratio * CRITICAL[activation], CRITICAL[activation],
                    f"C_W of the critical point of {activation}; usual starts have a sixth to twice of it")  # fmt: skip
    if ratio >= _LARGE and level.first >= _ABSURD * level.constant > 0 and level.steps >= _SOON:
        lost = units_lost(history)
        if lost is None and not resting(level) and not _never_made_good(history, level, sizes, activation):
            return None
        harm = "units have died or saturated since" if lost is not None else f"the loss is at {level.recent:.3g} yet"
        shown = Evidence("loss", "", level.first_step, level.first, _ABSURD * level.constant,
                         "a network that knows nothing yet should answer as a constant does")  # fmt: skip
        times = level.first / level.constant
        cause = f"the weights start too large, the first loss is {times:.3g} times a constant prediction's, and {harm}"
    elif ratio <= _SMALL and len(known) >= 2 and known[-1] <= known[0] / 32 and stuck_for(history, _SOON):
        shown = Evidence("activation_rms, last layer over first", firsts[0].names[-1], step,
                         float(known[-1] / known[0]), 1 / 32, "five halvings of the signal")  # fmt: skip
        cause = "the weights start too small for a signal to pass, and nothing is learned"
    else:
        return None
    cause += f" (weight variance times fan-in is {ratio * CRITICAL[activation]:.3g}, critical is "
    cause += f"{CRITICAL[activation]:.4g})."
    return Sign("warning", cause, (size, shown), (), step, cures_of_start(history))


def _never_made_good(history: History, level: LossLevel, sizes: list[float], activation: str) -> bool:
    """All layers began so large, and the run is over above a fifth of a constant's loss: what it fell by was its start.
    Under a saturating activation there is no growth over depth to see: neighbouring inputs are torn apart instead
    (Poole et al. 2016, arXiv 1606.05340), which training has to mend first."""
    large = min(sizes) >= _LARGE * CRITICAL[activation]
    return large and bool(history.events("exit")) and not level.negative and level.recent > _UNFIT * level.constant


def _geometric(history: History, rows: list) -> Profile | None:
    """The profile of the first look, if it and the next agree that it is geometric."""
    found = [profile(history, row) for row in rows]
    if not found or any(p is None or not p.geometric for p in found):
        return None
    return found[0]
