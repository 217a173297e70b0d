"""``bptt-explosion``: the gradient grows geometrically on its way back through time.

∂L/∂h_t = Σ_s J_{t+1}ᵀ … J_sᵀ ∂L_s/∂h_s, and the product of the Jacobians grows like e^{λ(s−t)} where the trajectory's
Lyapunov exponent λ is positive (Mikhaeil, Monfared, Durstewitz 2022, arXiv 2110.07238: for chaotic dynamics no
architecture or initialisation helps). The gradient of the weights is the sum over t of ∂L/∂h_t times what went in.
Where the terms of the first time steps are 2²⁴ times those of the last, these are below a rounding error of float32 in
the sum; from 2¹² on they have lost half of their bits.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.harm import harms
from surefoot.findings.history import History
from surefoot.findings.progress import HOLDS, growing, stuck_for
from surefoot.findings.rule import Sign, rule
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 3
_HALF, _ALL = 12.0, 24.0  # bits over the sequence
_GROWN, _ELASTIC = 6.0, 300.0  # bits, and the elasticity with which they count, as over depth
_FIRST = 16  # steps within which a first reading shows the start
_LONG = 128  # steps
_PATIENCE = 3.2  # bits that each doubling of the time makes up for, as over depth (see ``vanishing.py``)
_FAR, _OFTEN = 0.2, 8  # of a constant's loss; looks
_TWICE = 2.0  # as long as the first sequences
_HALVED = 0.5  # of the loss at half of the steps: what falls so, learns
_SUM = "a loss at each of T time steps adds up to no more than T of them where nothing grows"
_SOURCE = (
    "2^24 is one rounding error of float32, 2^12 half of its bits: the terms of the last time steps are lost in the "
    "weights' gradient beside those of the first"
)


def orthogonal(layers: tuple[str, ...]) -> Remedy:
    """Recurrent weights that keep lengths; ``layers`` are those that a hand-written loop calls at every time step."""
    named = f":layers={'+'.join(layers)}" if layers else ""
    return Remedy(
        name="surefoot.init.orthogonal_recurrent_",
        why="an orthogonal matrix neither lengthens nor shortens what goes through it again and again",
        how=(
            "# after: optimizer\n"
            "from surefoot.init import orthogonal_recurrent_\n"
            f"orthogonal_recurrent_(model, {layers!r})\n"
        ),
        apply=f"orthogonal-recurrent{named}",
    )


def remember(length: float) -> Remedy:
    """Forget gates that start open for as long as the sequences are; ``length`` in time steps."""
    length = max(3.0, float(f"{length:.0f}"))
    return Remedy(
        name="surefoot.init.open_forget_gates_",
        why=f"units of an LSTM or GRU then keep their memory, and its gradient, for up to {length:.0f} time steps",
        how=(
            "# after: optimizer\n"
            "from surefoot.init import open_forget_gates_\n"
            f"open_forget_gates_(model, {length:.0f})\n"
        ),
        apply=f"forget-gates:length={length:.0f}",
    )


@rule("bptt-explosion", needs=("recurrence", "step", "printed", "validation"))
def bptt_explosion(history: History) -> Sign | None:
    """Over the sequence |∂L/∂h_t| grows back in time by 2¹² or more (λT in bits), at three looks in a row, or by 2²⁴
    at the first two, or at the only one before the loss was not finite any more: warning. So is 2⁶ at the first look
    where the elasticity is 300 or more, as for a gradient that grows over depth (see ``exploding-gradient``), and at
    three looks in a row where the elasticity is so by now and a loss of known scale learned nothing for 128 steps. So
    is more than T at each of the first three looks, and growth at every look since, over 128 steps after which the
    loss is above a fifth of a constant's, and above half of what it was at half of the steps; and 2⁶ at the newest
    look, 2³ at the two before, where sequences have become twice as long since the first look, gradients 2⁶ times as
    long as they were then, and the loss higher than it began. So is 2²⁴ at the newest look before the loss was not
    finite any more, where sequences have become twice as long since the first look (critical). Where harm is evident,
    see :func:`_longer_with_harm`.

    Critical from 2²⁴ on where the loss learns nothing or was lost.
    """
    gone = any(level.nonfinite_step is not None for level in history.losses.values())
    factors = through_time(history, HOLDS if gone else 1.0)
    worst = max(factors, key=lambda where: min(factors[where]), default=None)
    if worst is None or min(factors[worst]) < (_HALF if len(factors[worst]) == _LOOKS else _ALL):
        return _felt(history) or _chaotic(history) or _lengthened(history, factors) or _longer_with_harm(history)
    if len(factors[worst]) == 1 and not gone:
        return None
    bits = factors[worst][-1]
    lost = gone or any(level.count >= 16 and level.stuck for level in history.losses.values())
    severity: Severity = "critical" if min(factors[worst]) >= _ALL and lost else "warning"
    evidence = _evidence(history, worst, bits, _ALL if severity == "critical" else _HALF)
    rate, length = history.value("bptt_rate", worst), history.value("bptt_length", worst)
    cause = f"{_growth(worst, rate, length)}, so that only the first of them are heard."
    where = tuple(name for name, several in factors.items() if min(several) >= _HALF)
    since = _grown_since(history, worst, _HALF)
    return Sign(severity, cause, evidence, where, since, _cures(where))


def _cures(where: tuple[str, ...]) -> tuple[Remedy, ...]:
    """Weights that neither stretch nor shrink, or bounds on what is stretched: the script tells which."""
    return remedies.best_of((orthogonal(where), remedies.CLIP), "agc", "lr-search:factor=0.1")


def _felt(history: History) -> Sign | None:
    """Growth that leaves every time step heard, in a gradient that is far too large for its loss: from the start on, or
    by now, where that loss learns nothing."""
    rates, lengths = history.first_layers("bptt_rate"), history.first_layers("bptt_length")
    strong = [s for pace in history.paces.values() for s in pace.first if s.elasticity >= _ELASTIC]
    if not rates or not lengths:
        return None
    if len(strong) >= 2 and rates[0].step <= _FIRST:
        bits = {name: rates[0][name] * lengths[0][name] / math.log(2) for name in rates[0].names}
        rate, length = rates[0], lengths[0]
    else:
        newest = [pace.last(_LOOKS) for pace in history.paces.values()]
        strong = [s for last in newest if all(s.elasticity >= _ELASTIC for s in last) for s in last]
        # a policy's loss is a surrogate, and near 0: neither its size nor its course says anything
        sized = all(level.known for level in history.losses.values())
        if len(strong) < _LOOKS or not sized or not stuck_for(history, _LONG):
            return None
        bits = {name: min(b) for name, b in through_time(history).items() if len(b) == _LOOKS}
        rate, length = history.recent_layers("bptt_rate", 1)[-1], history.recent_layers("bptt_length", 1)[-1]
    worst = max((name for name, b in bits.items() if b >= _GROWN), key=lambda name: bits[name], default=None)
    if worst is None:
        return None
    source = "Euler's identity: of the order of the depth in a homogeneous network"
    elastic = Evidence("gradient_norm · weight_norm / loss", "", strong[0].step, strong[0].elasticity, _ELASTIC, source)
    cause = f"{_growth(worst, rate[worst], length[worst])}, and is far too large for the loss that it is of."
    evidence = (*_evidence(history, worst, bits[worst], _GROWN), elastic)
    since = min(strong[0].step, _grown_since(history, worst, _GROWN))
    return Sign("warning", cause, evidence, (worst,), since, _cures((worst,)))


def _chaotic(history: History) -> Sign | None:
    """A Lyapunov exponent that was positive from the start, beyond what can come of a loss at every time step, and at
    every look since, in a run that is far from a fit: the states are as irregular as they were, and what they hold of
    the inputs is told by the newest of them alone."""
    rates, lengths = history.first_layers("bptt_rate"), history.first_layers("bptt_length")
    levels = history.losses.values()
    far = all(v.known and v.steps >= _LONG and v.share > _FAR and v.recent > _HALVED * v.at_half for v in levels)
    if len(rates) < _LOOKS or len(lengths) < _LOOKS or not history.losses or not far or rates[0].step > _FIRST:
        return None
    for name in rates[0].names:
        length = lengths[0][name]
        if not length > 1:
            continue
        firsts = [r[name] * n[name] / math.log(2) for r, n in zip(rates[:_LOOKS], lengths[:_LOOKS], strict=True)]
        _, all_rates = history.measured("bptt_rate", name)
        if not min(firsts) > math.log2(length) or len(all_rates) < _OFTEN or not all_rates.min() > 0:
            continue
        bits = float(np.median(firsts))
        factor, bound = 2.0 ** min(1000.0, bits), float(length)
        evidence = (
            Evidence("bptt_rate · bptt_length, as a factor", name, rates[0].step, factor, bound, _SUM),
            Evidence("bptt_rate", name, history.step, float(all_rates.min()), 0.0,
                     "the least of all looks; the Lyapunov exponent that neither grows nor shrinks is 0"),
        )  # fmt: skip
        cause = f"{_growth(name, rates[0][name], length)} at the start, and grows with every step back still: chaos."
        return Sign("warning", cause, evidence, (name,), rates[0].step, _cures((name,)))
    return None


def _lengthened(history: History, factors: dict[str, list[float]]) -> Sign | None:
    """Growth that longer sequences have brought: shorter ones had let a gradient through as it is."""
    worst = max(factors, key=lambda where: factors[where][-1], default=None)
    if worst is None or len(factors[worst]) < _LOOKS or not history.losses:
        return None
    lengths = [first[worst] for first in history.first_layers("bptt_length")]
    rate, length = history.value("bptt_rate", worst), history.value("bptt_length", worst)
    if not lengths or not length >= _TWICE * lengths[0]:
        return None
    if factors[worst][-1] >= _ALL and any(level.nonfinite_step is not None for level in history.losses.values()):
        cause = f"{_growth(worst, rate, length)}; the first sequences had {lengths[0]:.0f}, and the loss is gone."
        evidence = _evidence(history, worst, factors[worst][-1], _ALL)
        # a look is later than what it finds: they may have been longer since the one before it
        steps, spells = history.measured("bptt_length", worst)
        short = steps[spells <= lengths[0]]
        since = int(short[-1]) + 1 if len(short) else int(steps[0])
        return Sign("critical", cause, evidence, (worst,), since, _lengthened_cures(worst))
    if min(factors[worst]) < _GROWN / 2 or factors[worst][-1] < _GROWN:
        return None
    if not all(level.count >= _FIRST and level.recent > level.base for level in history.losses.values()):
        return None
    for pace in history.paces.values():
        first, newest = ([s.gradient_norm for s in found] for found in (pace.first, pace.last(_LOOKS)))
        usual, now = float(np.median(first)) if first else 0.0, min(newest, default=0.0)
        if not usual > 0 or now < 2.0**_GROWN * usual:
            continue
        evidence = (
            *_evidence(history, worst, factors[worst][-1], _GROWN),
            Evidence("gradient_norm", "", history.step, now, 2.0**_GROWN * usual,
                     "the run's own first looks, before its sequences became longer"),
        )  # fmt: skip
        cause = (
            f"{_growth(worst, rate, length)}; of the {lengths[0]:.0f} of the first sequences it was {now / usual:.3g} "
            "times as short, and the loss is above where it began."
        )
        return Sign(
            "warning", cause, evidence, (worst,), _grown_since(history, worst, _GROWN), _lengthened_cures(worst)
        )
    return None


def _lengthened_cures(where: str) -> tuple[Remedy, ...]:
    """What lengthens is not the weights, which shorter sequences show to be sound: the bound comes first."""
    return remedies.best_of((remedies.CLIP, orthogonal((where,))), "agc", "lr-search:factor=0.1")


def _longer_with_harm(history: History) -> Sign | None:
    """Since what the run is for got worse its sequences are twice as long at least (or so long that anything is seen to
    compound), and over them the gradient grows by 2³ in the middle of three looks or more. Or sequences were too short
    for that at first, and as it got worse, at the first three looks after its best, the gradient grew by 2⁶ over them
    and was 2³ times as long as before: what it did then may have left states that nothing moves any more."""
    for harm in harms(history):
        looks, _ = history.measured("weight_norm", next(iter(history.losses), ""))
        for name in history.wheres("bptt_rate"):
            steps, (rates, lengths) = history.together(("bptt_rate", name), ("bptt_length", name))
            since, before = steps > harm.since, steps <= harm.step
            if since.sum() < _LOOKS or (looks <= harm.step).sum() < _LOOKS:
                continue
            bits = float(np.median((rates * lengths)[since])) / math.log(2)
            longer = not before.any() or lengths[since].min() >= _TWICE * lengths[before].max()
            least, at = _GROWN / 2, np.flatnonzero(since)
            if not longer or bits < least:
                least, at = _GROWN, np.flatnonzero(~before)[:_LOOKS]
                bits = float(((rates * lengths)[at]).min()) / math.log(2)
                short = looks[_LOOKS - 1] < steps[0]  # too short at first for anything to compound
                if not short or bits < least or not _longer_gradient(history, harm.step, steps[at]):
                    continue
            evidence = (
                *_evidence(history, name, bits, least),
                harm.evidence(history.step),
            )
            length = float(lengths[at[-1]])
            when = "since sequences are longer:" if least < _GROWN else "and as that began"
            cause = f"{harm.words}, {when} {_growth(name, bits * math.log(2) / length, length)}."
            return Sign("warning", cause, evidence, (name,), int(steps[at[0]]), _lengthened_cures(name))
    return None


def _longer_gradient(history: History, well: int, at: np.ndarray) -> bool:
    """Over the steps ``at`` the gradient of the only optimiser is 2³ times what it was up to ``well``; both middles."""
    names = history.wheres("gradient_norm")
    if len(names) != 1:
        return False
    steps, norms = history.measured("gradient_norm", names[0])
    then, usual = norms[(steps >= at[0]) & (steps <= at[-1])], norms[steps <= well]
    return bool(len(then) and len(usual) and np.median(then) >= 2.0 ** (_GROWN / 2) * np.median(usual))


def _grown_since(history: History, where: str, bits: float) -> int:
    """The first look of those to the newest at which the gradient grew by so many bits over the sequence, or shrank by
    so many where they are below zero."""
    steps, rates = history.series("bptt_rate", where)
    lengths = history.series("bptt_length", where)[1]
    with np.errstate(invalid="ignore"):
        at = unbroken_from(~(np.sign(bits) * rates * lengths / math.log(2) < abs(bits)))
    return int(steps[min(at, len(steps) - 1)])


def _growth(where: str, rate: float, length: float) -> str:
    bits = rate * length / math.log(2)
    return (
        f"the gradient grows by a factor {math.exp(min(rate, 700.0)):.3g} with every time step back through {where}: "
        f"by 2^{min(bits, 9999.0):.0f} over its {length:.0f} time steps"
    )


def lost_in_time(history: History) -> Sign | None:
    """What a loss says at the end of a long sequence does not come back to its beginning: 2⁻²⁴ or less at three looks
    in a row and a loss that learns nothing for 128 steps, or the less the longer that lasts, three bits for each
    doubling, down to 2⁻¹². Readings of the first steps hold for as long as nothing is learned and no gradient grows."""
    if not stuck_for(history, _LONG) or growing(history):
        return None
    factors = through_time(history, math.inf)
    worst = min(factors, key=lambda where: max(factors[where]), default=None)
    if worst is None or len(factors[worst]) < _LOOKS:
        return None
    waited = min(level.steps for level in history.losses.values()) / _LONG
    bound = max(_HALF, _ALL - _PATIENCE * math.log2(waited))
    if max(factors[worst]) > -bound:
        return None
    rate, length = history.value("bptt_rate", worst), history.value("bptt_length", worst)
    cause = (
        f"the gradient shrinks by a factor {math.exp(rate):.3g} with every time step back through {worst}: of its "
        f"{length:.0f} time steps only the last {max(1.0, -_HALF * math.log(2) / rate):.0f} are heard, and nothing is "
        "learned."
    )
    began = _grown_since(history, worst, -bound)
    evidence = _evidence(history, worst, factors[worst][-1], -bound)
    gated = bool(history.of_type((worst,), ("lstm", "gru")).all())
    deaf = orthogonal(tuple(name for name, several in factors.items() if max(several) <= -_ALL))
    cures = (remember(length), deaf) if gated else (deaf,)
    return Sign("warning", cause, evidence, (worst,), began, cures)


def through_time(history: History, old: float = 1.0) -> dict[str, list[float]]:
    """log2 of what the gradient is multiplied by over a layer's whole sequence, at its newest one to three looks; none
    where the run is longer than ``old`` times what it was at the newest."""
    rates = history.recent_layers("bptt_rate", _LOOKS)
    lengths = history.recent_layers("bptt_length", _LOOKS)
    if not rates or len(lengths) != len(rates) or history.step > old * rates[-1].step:
        return {}
    found = {}
    for name in rates[-1].names:
        bits = [rate[name] * length[name] / math.log(2) for rate, length in zip(rates, lengths, strict=True)]
        if not any(map(math.isnan, bits)):
            found[name] = bits
    return found


def _evidence(history: History, where: str, bits: float, threshold: float) -> tuple[Evidence, ...]:
    factor, bound = (2.0 ** min(1000.0, max(-1000.0, b)) for b in (bits, threshold))
    return (
        Evidence("bptt_rate · bptt_length, as a factor", where, history.step, factor, bound, _SOURCE),
        Evidence("bptt_rate", where, history.step, history.value("bptt_rate", where), 0.0,
                 "the Lyapunov exponent that neither grows nor shrinks (Mikhaeil et al. 2022)"),
    )  # fmt: skip
