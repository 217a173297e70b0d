"""``dead-units`` and ``saturated-units``: units whose derivative is zero for (almost) every input.

Dead: with symmetric weights and no bias a ReLU is on for half of the directions, so even if all inputs pointed the same
way (as they do after many layers, or unnormalised) no more than half of a layer can be off for every row: P(off for
all) ≤ ½, with binomial scatter. Three quarters is beyond that. A unit that is off for all rows has gradient zero and
stays off.

Saturated: at a critical start pre-activations have variance ≤ 1, and a standard normal is in the flat part of tanh
(|z| > 2.65, derivative < 2 % of its maximum) with probability 0.8 %; half of the outputs there means a standard
deviation near 4. One such layer leaves half of the paths open, as a first layer of steep ridges is meant to do; what a
gradient gets through is the product over layers. Trained units saturate too, and networks that learn well reach 70 %:
so later it counts only where the loss learns nothing.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.closed import MOST, shut
from surefoot.findings.rules.last_activation import dead, flat
from surefoot.findings.start import cures_of_start
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS, _APART = 3, 8
# Of the paths through a network. A first layer of steep ridges, flat nearly everywhere as it is meant to be, leaves a
# quarter and learns well; two hidden layers at the threshold leave as much.
_OPEN = 0.2
_DEAD_AT_START = "symmetric weights leave at most ½ of a ReLU layer off for all inputs; ¾ allows for scatter"
_DEAD_LATER = "the run's own start, and a loss that learns nothing: units off for all rows get no gradient"
_HALF, _FEW = 0.5, 0.125  # of a layer
_LOST, _NOISES = 0.25, 3.0  # of what a loss had gained, as for what scripts print; of its noise
_DYING = "the run's own start, when one unit in eight at most was dead; units off for all rows get no gradient"
_FLATTENING = (
    "the run's own start, when one output in eight at most was flat; they pass on less than 2 % of the gradient"
)
_FLAT_AT_START = "at a critical start 0.8 % of the outputs are in the flat part (P(|z| > 2.65) for z ~ N(0, 1))"
_FLAT_LATER = "the run's own start, and a loss that learns nothing: flat outputs pass on less than 2 % of the gradient"


@rule("dead-units", needs=("activations", "samples"))
def dead_units(history: History) -> Sign | None:
    """A layer with ≥ ¾ of its ReLUs off at three looks, from the start, or later on (eight steps apart) in a run that
    learns nothing. Critical from 90 % of a layer on where the loss learns nothing; info where such a run learns all the
    same. A warning, too, where half of a layer has died since the start, and a quarter of what had been learned is
    lost; or where outputs of the model itself are dead, one in ten.
    """
    found = _judge(
        history,
        "dead_share",
        at_start=0.75,
        later=0.75,
        sources=(_DEAD_AT_START, _DEAD_LATER),
        words="of the units are dead: off for every input, so that no gradient passes",
        # at the start it is the biases that hold them off, whatever the size of the weights
        of_start=remedies.best_of((remedies.ZERO_BIAS, remedies.LEAKY, remedies.KAIMING)),
        later_on=remedies.best_of((remedies.LEAKY, remedies.lower_rate(10.0))),
    )
    if found is None or found.severity == "info":
        cures = remedies.best_of((remedies.LEAKY, remedies.lower_rate(10.0)))
        found = _lost_since(history, "dead_share", "have died", _DYING, cures) or dead(history) or found
    return found


@rule("saturated-units", needs=("activations", "samples"))
def saturated_units(history: History) -> Sign | None:
    """Layers with ≥ ½ of their outputs in the flat part from the start at three looks, which together leave a fifth of
    all paths open or less, or one with ≥ ¾ later on in a run that learns nothing. Critical from 90 % of a layer on
    in such a run; info where it learns all the same. A warning, too, where half of a layer has become flat since the
    start (of outputs and gates: nine tenths), and a quarter of what had been learned is lost; or where outputs of the
    model itself are flat, and a tenth of the targets' spread is error there; or where nine tenths of a layer have been
    flat for half of the run, and the loss hardly falls (see ``closed.py``).
    """
    found = _judge(
        history,
        "saturated_share",
        at_start=0.5,
        later=0.75,
        sources=(_FLAT_AT_START, _FLAT_LATER),
        words="of the outputs are in the flat part of the activation, which passes on less than 2 % of the gradient",
        of_start=(*cures_of_start(history), remedies.ORTHOGONAL, remedies.ZERO_BIAS),
        later_on=remedies.best_of((remedies.lower_rate(10.0), remedies.ORTHOGONAL), "saturation-cap"),
        most_open=_OPEN,
    )
    if found is None or found.severity == "info":
        cures = remedies.best_of((remedies.lower_rate(10.0),), "saturation-cap")
        lost = _lost_since(history, "saturated_share", "have saturated", _FLATTENING, cures) or _lost_since(
            history, "closed_share", "have saturated", _FLATTENING, cures, MOST
        )
        found = lost or flat(history) or shut(history) or found
    return found


def _lost_since(
    history: History, signal: str, what: str, source: str, cures: tuple[Remedy, ...], most: float = _HALF
) -> Sign | None:
    """Units that let a gradient through at the start do so no more, half of a layer (or ``most``), while the loss
    climbs back: by a quarter of what it had gained, beyond its noise."""
    recent = history.recent_layers(signal, _LOOKS)
    firsts = history.first_layers(signal)
    levels = history.losses.values()
    # a loss below zero has no floor that it could be said to have come near
    if len(recent) < _LOOKS or not levels or any(level.negative or not level.best > 0 for level in levels):
        return None
    for level in levels:
        lost = max(_LOST * (level.first - level.best), _NOISES * level.best_noise)
        if not (level.best < 0.5 * level.first and level.low > level.best + lost):
            return None
    newest = recent[-1]
    shares = {n: float(np.min([r[n] for r in recent])) for n in newest.names}
    bad = [n for n, s in shares.items() if s >= most and firsts and firsts[0][n] <= _FEW]
    if not bad:
        return None
    worst = max(bad, key=lambda n: shares[n])
    evidence = tuple(Evidence(signal, n, newest.step, shares[n], most, source) for n in bad[:4])
    cause = (
        f"{100 * shares[worst]:.3g} % of the units of {worst} {what} since the start (step {newest.step}), and more "
        "than a quarter of what the loss had gained is lost."
    )
    return Sign("warning", cause, evidence, tuple(bad), _since(history, signal, worst, most), cures)


def _judge(
    history: History,
    signal: str,
    at_start: float,
    later: float,
    sources: tuple[str, str],
    words: str,
    of_start: tuple[Remedy, ...],
    later_on: tuple[Remedy, ...],
    most_open: float = 1.0,
) -> Sign | None:
    recent = history.recent_layers(signal, _LOOKS)
    if len(recent) < _LOOKS:
        return None
    newest = recent[-1]
    with np.errstate(invalid="ignore"):
        if not bool((newest.values >= min(at_start, later)).any()):
            return None
    shares = {n: float(np.min([r[n] for r in recent])) for n in newest.names}  # NaN where one look lacks it
    sizes = history.layers("activation_rms")
    if sizes is not None:  # in a branch that starts at zero nothing has arrived yet; what shuts it is another layer's
        shares = {n: s for n, s in shares.items() if sizes[n] != 0}
    firsts = history.first_layers(signal) or recent[:1]  # a layer may have come later than the first rows
    born = [n for n, s in shares.items() if s >= at_start and all(f[n] >= at_start for f in firsts)]
    if math.prod(1 - s for s in shares.values() if s >= 0) > most_open:
        born = []
    learned = history.learned
    grown = [n for n, s in shares.items() if s >= later and n not in born and not firsts[0][n] >= 0.8 * s]
    if not learned:
        grown = [n for n in grown if _looks_apart(history, signal, n, later) >= _LOOKS]
    if born:
        bad, threshold, source, first_step = born, at_start, sources[0], firsts[0].step
    elif grown:
        bad, threshold, source, first_step = grown, later, sources[1], _since(history, signal, grown[0], later)
    else:
        return None
    worst = max(bad, key=lambda n: shares[n])
    severity: Severity = "warning"
    if not learned and shares[worst] >= 0.9:
        severity = "critical"
    elif learned and not born:
        severity = "info"
    if severity != "info" and not born and not _enough(history):
        return None
    evidence = tuple(
        Evidence(signal, n, newest.step, shares[n], threshold, source)
        for n in sorted(bad, key=lambda n: -shares[n])[:4]
    )
    cause = f"{100 * shares[worst]:.3g} % {words} ({worst}, step {newest.step})."
    if len(bad) > 1:
        cause = f"in {len(bad)} layers up to " + cause
    return Sign(severity, cause, evidence, tuple(bad), first_step, of_start if born else later_on)


def _looks_apart(history: History, signal: str, name: str, threshold: float) -> int:
    """Looks of the newest unbroken stretch above the threshold; those within eight steps see one and the same state."""
    since = _since(history, signal, name, threshold)
    counted, last = 0, -_APART
    for step in history.series(signal, name)[0]:
        if step >= since and step - last >= _APART:
            counted, last = counted + 1, int(step)
    return counted


def _since(history: History, signal: str, name: str, threshold: float) -> int:
    """First step of the newest unbroken stretch of looks above the threshold."""
    steps, values = history.series(signal, name)
    return int(steps[unbroken_from(values >= threshold)])


def _enough(history: History) -> bool:
    """Enough losses to say that nothing is learned: plateaus at the beginning end by themselves."""
    return all(level.steps >= 24 for level in history.losses.values()) if history.losses else True
