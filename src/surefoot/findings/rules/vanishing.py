"""``vanishing-gradient``: the gradient decays geometrically over depth until the first layers stand still.

A layer multiplies the squared gradient by χ = C_W ⟨σ'²⟩ (Roberts, Yaida, Hanin 2022, arXiv 2106.10165, ch. 5: χ⊥). Off
criticality, χ ≠ 1, this compounds to χ^depth: a straight line of log gradient over depth. For the sigmoid ⟨σ'²⟩ ≤ 1/16.

What the first layers still learn is bounded by arithmetic: where their gradient is 2⁻²⁴ of the last layer's, then under
one learning rate for all (SGD) the last layer moves by its own size while the first cannot move by one rounding error
of float32; 2⁻¹² is half of those 24 bits. Adam divides the magnitude out, down to its ε: there the *update* decays
only where the gradient falls below ε (Wortsman et al. 2024, arXiv 2309.14322, §3.4), so the relative update counts
too.

A run that has learned nothing for long needs less to be explained, and the less the longer: networks train down to a
depth of six times the distance over which the squared gradient falls to 1/e (Schoenholz, Gilmer, Ganguli,
Sohl-Dickstein 2017, Deep information propagation, arXiv 1611.01232), which is a decay by e⁻³ = 2⁻⁴·³ of the gradient
itself.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings.depth import Profile, profile
from surefoot.findings.history import History, Layers
from surefoot.findings.progress import growing, had_learned, stuck_for
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.adaptive import held_back
from surefoot.findings.rules.recurrence import lost_in_time
from surefoot.findings.rules.unanswered import unanswered
from surefoot.findings.start import cures_of_start
from surefoot.runs.schema import Evidence, Severity

_LOOKS = 3
_HALF, _MOST, _ALL = -12.0, -18.0, -24.0  # bits
_UNTRAINABLE = -3 / math.log(2)  # bits
_SHORT, _LONG, _LONGER = 24, 64, 128  # steps
_PATIENCE = (_UNTRAINABLE - _HALF) / math.log2(_LONGER / _SHORT)  # bits that each doubling of the time makes up for
_SOURCE = (
    "2⁻²⁴ is one rounding error of float32, 2⁻¹² half of its bits: with one learning rate the first layers move by no "
    "more than that while the last layer moves by its own size"
)
_DEEP = (
    "2⁻¹² after 24 steps without learning, e⁻³ after 128: deeper than six times the distance over which the squared "
    "gradient falls to 1/e (Schoenholz et al. 2017)"
)


@rule("vanishing-gradient", needs=("gradients", "recurrence", "game", "events"))
def vanishing_gradient(history: History) -> Sign | None:
    """Gradient of the first quarter of the layers ≤ 2⁻¹² of the last quarter's at three looks in a row, as a geometric
    decay over depth, with updates that decay too (or a gradient beyond 2⁻²⁴, or beyond 2⁻¹⁸ for 64 steps), and a loss
    that learns nothing (for 24 steps, above 2⁻¹⁸): warning; critical beyond 2⁻²⁴. Before any step the decay decides.
    Where the loss learns nothing for longer, and the gradient does not grow, less is enough: 2⁻⁴·³ after 128 steps;
    with updates that do not decay three bits less for each time that 64 steps are doubled.

    Beyond 2⁻²⁴ from the first look on it is a warning also where the last layers learn. The same where the activations
    lose 2⁻¹² over depth and all layers but the last get next to nothing. Through time: see ``lost_in_time``; through a
    discriminator: see ``unanswered``.
    """
    return over_depth(history) or lost_in_time(history) or unanswered(history)


def over_depth(history: History) -> Sign | None:
    """The gradient decays from layer to layer; see :func:`vanishing_gradient`."""
    recent = history.recent_layers("gradient_rms", _LOOKS)
    if len(recent) < _LOOKS:
        return None
    learned = history.learned
    if learned and not _from_the_start(history):
        return None
    newest = profile(history, recent[-1])
    if newest is None:
        return None
    limit = _HALF if learned or history.inspected or growing(history) else _enough(history)
    bits = [p.bits if p is not None and p.geometric else 0.0 for p in (profile(history, r) for r in recent)]
    worst = max(bits)
    if newest.bits > _HALF or not newest.geometric:
        lost = None if learned else _signal_lost(history, newest)
        if lost is not None or worst > limit:
            return lost
    if worst > limit:
        return None
    if worst > _MOST and not _seen_for(history, _SHORT):
        return None  # it may be slow and learn all the same
    update = _relative_updates(history)
    decay = profile(history, update) if update is not None else None
    if decay is not None and decay.bits > -6 and worst > _in_vain(history):
        return None  # an adaptive optimiser makes up for it, if only the direction is still right
    if worst > _ALL and held_back(history):
        return None  # the last layers do not learn either
    at = int(np.argmin(newest.log2[: max(1, len(newest.names) // 2)]))
    first, last = newest.names[at], newest.names[-1]
    if first in _at_rate_zero(history):
        return None  # it waits for another rate, whatever gradient it gets
    value = float(2.0 ** newest.log2[at])
    ratio = float(2.0 ** (newest.log2[at] - newest.log2[-1]))
    bound, source = (_HALF, _SOURCE) if worst <= _HALF else (limit, _DEEP)
    evidence = [
        Evidence("gradient_rms", first, recent[-1].step, value, float(2.0 ** (newest.log2[-1] + bound)), source),
        Evidence("gradient_rms decay a layer", first, recent[-1].step, float(2.0**-newest.slope), 1.0,
                 "χ per layer is 1 at criticality (Roberts, Yaida, Hanin 2022); its power is what is left at depth"),
    ]  # fmt: skip
    if decay is not None:
        evidence.append(Evidence("update_rms / weight_rms", first, update.step if update else history.step,
                                 float(2.0**decay.bits), 2.0**-6, "first quarter of layers over the last"))  # fmt: skip
    began = recent[0].step
    firsts = history.first_layers("gradient_rms")
    at_start = profile(history, firsts[0]) if firsts else None
    if (
        at_start is not None
        and at_start.bits <= bound
        and at_start.geometric
        and not (had_learned(history) or _had_a_code(history))
    ):
        began = firsts[0].step
    quiet = newest.log2 <= newest.log2[-1] + bound
    where = tuple(n for n, q in zip(newest.names, quiet, strict=True) if q) or (first,)
    cause = (
        f"the gradient shrinks by a factor {2.0**newest.slope:.3g} with every layer toward the input: {first} gets "
        f"{ratio:.2g} of what {last} gets, too little to learn."
    )
    severity: Severity = "critical" if worst <= _ALL and not learned else "warning"
    return Sign(severity, cause, tuple(evidence), where, began, cures_of_start(history, newest))


def _at_rate_zero(history: History) -> tuple[str, ...]:
    """Layers that have not changed so far, where it is a learning rate of 0 that holds what has not."""
    newest, events = history.layers("unchanged_share"), history.events("unchanged")
    if newest is None or not events:
        return ()
    if any(event.data.get("why") != "rate 0" for event in events if event.step == events[-1].step):
        return ()
    return tuple(name for name, share in zip(newest.names, newest.values, strict=True) if share > 0)


def _had_a_code(history: History) -> bool:
    """A variational encoder once told its decoder something: what it gets no gradient by came later."""
    return any(history.measured("active_units_share", n)[1].any() for n in history.wheres("active_units_share"))


def _enough(history: History) -> float:
    """The decay, in bits, that explains why nothing was learned for as long as it was: 12 as soon as that can be said,
    4.3 once it has lasted, and in between the less the longer, evenly in the logarithm of the steps."""
    return _waited(history, _HALF, _SHORT) if stuck_for(history, _SHORT) else _HALF


def _in_vain(history: History) -> float:
    """The same where the optimiser gives every layer steps of one size, so that the first ones do move: how deep a
    network can be trained is a matter of what the gradient still says, and no other with RMSProp (Schoenholz et al.
    2017, §5), but steps of full size in a poor direction get somewhere in the end."""
    if not _seen_for(history, _LONG):
        return _ALL
    if history.inspected or growing(history):
        return _MOST
    return _waited(history, _MOST, _LONG)


def _waited(history: History, bits: float, since: int) -> float:
    steps = min((level.steps for level in history.losses.values()), default=since)
    return min(_UNTRAINABLE, bits + _PATIENCE * math.log2(max(1.0, steps / since)))


def _from_the_start(history: History) -> bool:
    """Beyond 2⁻²⁴ at each of the first looks: whatever is learned is learned by the last layers."""
    firsts = [profile(history, layers) for layers in history.first_layers("gradient_rms")]
    return bool(firsts) and all(p is not None and p.geometric and p.bits <= _ALL for p in firsts)


def _seen_for(history: History, steps: int) -> bool:
    return history.inspected or all(level.steps >= steps for level in history.losses.values())


def _signal_lost(history: History, gradient: Profile) -> Sign | None:
    """Weights too small: the signal decays toward the output as the gradient does toward the input, the two cancel in
    the gradient over depth, and only the last layer, by its bias, gets any."""
    forward = [profile(history, r) for r in history.recent_layers("activation_rms", _LOOKS)]
    if len(forward) < _LOOKS or any(f is None or not f.geometric or f.bits < -_HALF for f in forward):
        return None
    lost, last = forward[-1], gradient.names[-1]
    rest = float(np.median(gradient.log2[: max(1, len(gradient.names) // 2)])) - float(gradient.log2[-1])
    if lost is None or rest > _HALF:
        return None
    first, step = gradient.names[0], history.step
    evidence = (
        Evidence("activation_rms", lost.names[-1], step, float(2.0 ** lost.log2[-1]),
                 float(2.0 ** (lost.log2[0] + _HALF)), "χ per layer is 1 at criticality (Roberts, Yaida, Hanin 2022)"),
        Evidence("gradient_rms", first, step, float(2.0 ** gradient.log2[0]),
                 float(2.0 ** (gradient.log2[-1] + _HALF)), _SOURCE),
    )  # fmt: skip
    cause = (
        f"the signal shrinks by a factor {2.0**-lost.slope:.3g} with every layer, so that the layers before {last} get "
        f"{2.0**rest:.2g} of its gradient: too little to learn."
    )
    firsts = history.first_layers("activation_rms")
    began = firsts[0].step if firsts else step
    severity: Severity = "critical" if rest <= _ALL else "warning"
    cures = cures_of_start(history, lost, toward_output=True)
    return Sign(severity, cause, evidence, gradient.names[:-1], began, cures)


def _relative_updates(history: History) -> Layers | None:
    update, weight = history.layers("update_rms"), history.layers("weight_rms")
    if update is None or weight is None or update.names != weight.names:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        # an update of exactly zero is the strongest decay there is: give it the smallest float32
        relative = np.maximum(update.values, 1e-45) / weight.values
    return Layers(update.step, update.names, relative)
