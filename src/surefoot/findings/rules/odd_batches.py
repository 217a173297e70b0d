"""``bad-batch`` and ``opposing-outliers``: samples that upset training.

A batch whose loss is far off may be bad itself, or the step before it may have been unsafe. Told apart: its inputs or
targets are of another size than any batch before; or the model scores far worse on it than on nothing known, and is
back at its level with the very next batch, which after an unsafe step it is not.
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import EventLike, History
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.far_inputs import far_inputs
from surefoot.findings.rules.far_rows import far_rows
from surefoot.findings.rules.far_targets import far_targets
from surefoot.findings.rules.input_cures import BOUND_INPUTS, EVEN_OUT, SKIP_OUTLIERS
from surefoot.findings.rules.precision import overflowed_data
from surefoot.findings.turned import told_by_rewards
from surefoot.runs.schema import Evidence, Remedy, Severity

_OFF = 10.0  # times the largest that any batch before had
_PAST = 4  # batches that make a past
_TWICE, _ALIKE = 2.0, 8  # times the largest, of so many batches that are told apart by their spread
_ABSURD = 3.0  # of a constant's loss: so far off is what comes, not what is to be learned yet
_AFTER = 3
_ROWS = 8

SKIP_BAD_BATCH = Remedy(
    name="surefoot.optim.BadBatchGate",
    why="a batch whose loss is far outside the run's past costs nothing then but itself",
    how=(
        "# replace: loss.backward()\n"
        "from surefoot.optim import BadBatchGate\n"
        "gate = globals().setdefault('bad_batch_gate', BadBatchGate())\n"
        "if gate.passes(loss=loss.item()):\n"
        "    loss.backward()\n"
    ),
    apply="skip-bad-batch",
)


@rule("bad-batch", needs=("events", "samples", "step"))
def bad_batch(history: History) -> Sign | None:
    """A step with an odd loss whose inputs or targets are ten times those of any batch before, or twice those of eight
    that were much alike while the next ones are as before, or while the loss is three times a constant's; or half
    of whose rows score worse than a constant while the model is well on the batches right before and after:
    warning, critical where the loss is lost after it. Also few such batches among those of all looks, if the loss
    was lost or rose tenfold right after one of them; or rows in most batches whose targets are far from all others
    (see ``far_rows.py``). Data that hold NaN or infinities: critical, unless they are infinities of float16 (see
    ``low-precision-overflow``)."""
    skips = {e.step: e for e in history.events("skip")}  # steps that a remedy in place has left out
    broken = [e for e in history.events("nonfinite") if e.data.get("kind") == "input" and e.step not in skips]
    broken = [e for e in broken if e.data.get("value") != "-inf"]  # the logarithm of a 0 on the way: no file holds it
    if broken and not overflowed_data(history):  # then it is their format that is at fault
        return _broken(broken[0])
    for event in reversed(history.events("odd_batch")[-3:]):
        if history.step - event.step > 64:
            break
        if event.step in skips:
            continue
        sign = _odd(history, event)
        if sign is not None:
            return sign
    sign = _among_the_data(history) or far_rows(history)
    if sign is not None:
        return sign
    return _left_out(list(skips.values())[-1]) if skips else None


def _left_out(event: EventLike) -> Sign:
    value, limit = float(event.data["value"]), float(event.data["limit"])
    evidence = Evidence(str(event.data["signal"]), "", event.step, value, limit, "the past of the run's good steps")
    cause = f"the batch of step {event.step} was bad, and its step was left out."
    return Sign("info", cause, (evidence,), (), event.step)


def _broken(event: EventLike) -> Sign:
    value = str(event.data.get("value", "nan"))
    evidence = Evidence("nonfinite", "", event.step, float(value), math.inf, "the first op that met it had it as data")
    cause = f"the batch of step {event.step} holds {value} in its inputs."
    return Sign("critical", cause, (evidence,), (), event.step, (SKIP_BAD_BATCH, remedies.SKIP_NONFINITE))


def _odd(history: History, event: EventLike) -> Sign | None:
    step = event.step
    rows = [int(row) for row in event.data.get("rows", ())]
    for name, level in history.losses.items():
        steps, losses = history.series("loss", name)
        at = np.flatnonzero(steps == step)
        before = losses[steps < step]
        if not len(at) or len(before[np.isfinite(before)]) < 8:
            continue
        loss, usual = float(losses[at[0]]), float(np.median(before[np.isfinite(before)][-32:]))
        after = losses[steps > step][:_AFTER]
        found = _other_size(history, step, name, loss)
        if found is None:
            found = _worse_than_nothing(history, step, name, loss, usual, after)
        if found is None:
            continue
        evidence, what = found
        lost = level.nonfinite_step is not None or (
            len(after) >= _AFTER and level.count > 8 and level.low > 2 * level.base
        )
        severity: Severity = "critical" if lost else "warning"
        shown = Evidence("loss", name, step, loss, usual, "median of the losses before")
        worst = f" (highest in rows {', '.join(map(str, rows[:4]))})" if rows else ""
        cause = f"the batch of step {step} is bad: {what}; its loss is {loss:.3g} after a median of {usual:.3g}{worst}."
        return Sign(severity, cause, (evidence, shown), (name,) if name else (), step, (SKIP_BAD_BATCH, remedies.CLIP))
    return None


def _among_the_data(history: History) -> Sign | None:
    """Few batches among the data are of another size than the rest, as the looks so far show; and the loss was lost, or
    was tenfold what it began with at most two steps after one of them."""
    for name, level in history.losses.items():
        lost = level.nonfinite_step is not None or level.lost_step is not None
        upset = level.count > 0 and level.peak > _OFF * abs(level.first)
        if not (lost or upset):
            continue
        for signal, where, what in _sizes_known(history, name):
            steps, sizes = history.series(signal, where)
            good = np.isfinite(sizes) & (sizes > 0)
            steps, sizes = steps[good], sizes[good]
            usual = float(np.median(sizes)) if len(sizes) else 0.0
            odd = sizes >= _OFF * usual
            if not odd.any() or (~odd).sum() < max(_PAST, 3 * odd.sum()) or sizes[~odd].max() * _OFF > sizes[odd].min():
                continue
            near = odd & (level.peak_step - 2 <= steps) & (steps <= level.peak_step)
            if not (lost or near.any()):
                continue
            at = int(np.flatnonzero(near if near.any() else odd)[0])
            began = int(min(steps[at], level.peak_step)) if upset else int(steps[at])
            source = f"the run's own history: ten times the median of {len(sizes)} looks"
            evidence = (
                Evidence(signal, where, int(steps[at]), float(sizes[at]), float(_OFF * usual), source),
                Evidence(
                    "loss", name, level.peak_step, level.peak, float(_OFF * abs(level.first)), "ten times the first"
                ),
            )
            cause = (
                f"some batches are bad: at step {int(steps[at])} {what} were {sizes[at] / usual:.3g} times larger than "
                f"usual; the loss rose to {level.peak:.3g} at step {level.peak_step}{' and was lost' if lost else ''}."
            )
            return Sign("critical" if lost else "warning", cause, evidence, (name,) if name else (), began,
                        (SKIP_BAD_BATCH, remedies.CLIP))  # fmt: skip
    return None


def _sizes_known(history: History, name: str) -> list[tuple[str, str, str]]:
    places = [("input_rms", layer, f"the inputs of {layer}") for layer in history.wheres("input_rms")]
    return [*places, ("target_rms", name, "its targets")]


def _other_size(history: History, step: int, name: str, loss: float) -> tuple[Evidence, str] | None:
    for signal, where, what in _sizes_known(history, name):
        steps, sizes = history.series(signal, where)
        good = np.isfinite(sizes)
        now, past = sizes[good & (steps == step)], sizes[good & (steps < step)]
        if not len(now) or len(past) < _PAST or not past.max() > 0:
            continue
        if now[0] >= _OFF * past.max():
            source = f"the run's own history: ten times the largest of {len(past)} batches before"
            times = now[0] / past.max()
            evidence = Evidence(signal, where, step, float(now[0]), float(_OFF * past.max()), source)
            return evidence, f"{what} are {times:.3g} times larger than in any batch before"
        bound = max(_TWICE * float(past.max()), float(past.max() + _OFF * np.ptp(past)))
        after = sizes[good & (steps > step)]
        if len(past) < _ALIKE or now[0] < bound or not len(after):
            continue
        alone = after.max() < bound
        if alone or loss >= _ABSURD * _nothing(history, name) > 0:
            source = (
                f"the run's own history: twice the largest of {len(past)} batches before, and ten times as far from it "
                "as that is from the smallest; "
            )
            source += "the next ones are as they were" if alone else "and the model does far worse than a constant"
            return Evidence(signal, where, step, float(now[0]), bound, source), f"{what} are of another size"
    return None


def _nothing(history: History, name: str) -> float:
    """What a constant prediction scores on the batches looked at, by the median; 0 where that is not known."""
    constants = history.measured("constant_loss", name)[1]
    return float(np.median(constants)) if len(constants) else 0.0


def _worse_than_nothing(
    history: History, step: int, name: str, loss: float, usual: float, after: np.ndarray
) -> tuple[Evidence, str] | None:
    steps, constants = history.series("constant_loss", name)
    constant = constants[(steps == step) & np.isfinite(constants)]
    if not len(constant) or len(after) < _AFTER or not np.isfinite(after).all():
        return None
    steps, rows = history.series("batch_rows", name)
    middles = history.series("row_loss_median", name)[1]
    here = steps == step
    if len(middles) != len(steps) or not here.any() or not rows[here][0] >= _ROWS:
        return None  # of a few rows, a single hard one may be most
    nothing = max(float(constant[0]), float(np.nanmedian(constants)))
    back = usual + 0.5 * (nothing - usual)
    far_off = loss >= 1.5 * nothing and middles[here][0] >= nothing
    if not (nothing > 0 and far_off and usual <= 0.5 * nothing and (after <= back).all()):
        return None
    source = (
        "one and a half times what a constant prediction scores on this batch; half of its rows are worse than that"
    )
    return Evidence("loss", name, step, loss, 1.5 * nothing, source), "the model is worse on it than if it knew nothing"


@rule("opposing-outliers", needs=("samples",))
def opposing_outliers(history: History) -> Sign | None:
    """Few samples in two groups whose losses swing against each other from step to step: info; warning while the loss
    is twice its best or more and a tenth of what was learned is lost again, or where three windows over 24 steps show
    it, in each of which a twentieth of the samples makes half of all change: it is they who say how long a step may be.
    Of samples with inputs of six times the size of the rest one such window is enough.
    The same where a twentieth makes six tenths of a rise like that, in one pattern: a swing that has grown too fast to
    have swung back yet; or half of it, in two groups that move against each other, if not at each step. None where
    a policy is trained: the data of its critic are as far as it goes.
    """
    if told_by_rewards(history):
        return None
    swings = history.events("opposing_samples")
    swing = swings[-1].data if swings and swings[-1].step == history.step else None
    for name in history.wheres("opposing_lag1"):
        values = {signal: history.value(f"opposing_{signal}", name, history.step) for signal in _CRITERIA}
        if any(math.isnan(value) for value in values.values()):
            continue
        level = history.losses.get(name)
        _, losses = history.series("loss", name)
        spike = level is not None and _spike(level.first, losses[np.isfinite(losses)])
        if swing is None:
            if spike and (bounds := _rise_of_few(values)):
                return _few_rise(history, name, values, bounds)
            continue
        spike = spike and level is not None and level.learned
        theirs = values["concentration"] >= _MOST_OF_IT and _strong_inputs(history)
        harmful = spike or theirs or _rules_for_long(history, name)
        evidence = tuple(
            Evidence(f"opposing_{signal}", name, history.step, values[signal], threshold, source)
            for signal, (threshold, source) in _CRITERIA.items()
        )
        rows = ", ".join(str(row) for row in swing.get("rows", ())[:8])
        cause = (
            f"a few samples in two groups that want opposite things swing the loss at each step: the top 5 % carry "
            f"{100 * values['concentration']:.0f} % of all change (rows {rows})."
        )
        severity: Severity = "warning" if harmful else "info"
        cures = _of_few(history)
        return Sign(severity, cause, evidence, (name,) if name else (), _window_began(history), cures)
    sign = far_rows(history, opposing=True) or far_targets(history)
    return sign or far_inputs(history, remedies.best_of((BOUND_INPUTS, SKIP_OUTLIERS, EVEN_OUT)))


def _rise_of_few(values: dict[str, float]) -> dict[str, float]:
    """The bounds that a rise of the loss passes if few samples make it; empty if they do not."""
    one = {"energy_share": _ONE_PATTERN, "concentration": _MOST_OF_A_RISE}
    two = {signal: _CRITERIA[signal][0] for signal in ("energy_share", "correlation")} | {"concentration": _MOST_OF_IT}
    for bounds in (one, two):
        if all(values[s] >= bound if bound > 0 else values[s] <= bound for s, bound in bounds.items()):
            return bounds
    return {}


def _few_rise(history: History, name: str, values: dict[str, float], bounds: dict[str, float]) -> Sign:
    evidence = tuple(
        Evidence(f"opposing_{signal}", name, history.step, values[signal], bound, _CRITERIA[signal][1])
        for signal, bound in bounds.items()
    )
    cause = (
        f"few samples throw the loss up: a twentieth of them carries {100 * values['concentration']:.0f} % of all "
        "change of the last steps. It is they who say how long a step may be."
    )
    cures = _of_few(history)
    return Sign("warning", cause, evidence, (name,) if name else (), _window_began(history), cures)


def _window_began(history: History) -> int:
    """A window of changes is so many steps old at least."""
    return max(1, history.step - _CHANGES)


def _spike(first: float, losses: np.ndarray) -> bool:
    """Whether one of the newest 16 losses is twice the lowest before it, and a tenth of what was learned above: twice
    of next to nothing is nothing."""
    lowest = np.minimum.accumulate(losses)[-_RECENT:]
    newest = losses[-_RECENT:]
    return bool(((newest >= 2 * np.abs(lowest)) & (newest - lowest >= 0.1 * (first - lowest))).any())


def _strong_inputs(history: History) -> bool:
    """Some inputs are far larger than the rest: what the groups share is likely among them."""
    layers = history.wheres("input_rms")
    return any(history.value("input_max", layer) >= _STRONG * history.value("input_rms", layer) for layer in layers)


def _of_few(history: History) -> tuple[Remedy, ...]:
    """Without the outliers, or with no more weight of theirs than others have: the script tells which. Curvature along
    a feature goes with its mean square, which the outliers make: divided by it, they pull no harder than the rest."""
    slower = (remedies.lower_rate(2.0), remedies.CLIP)
    if not _strong_inputs(history):
        return remedies.best_of(slower, "agc", "skip-outliers")
    return remedies.best_of((SKIP_OUTLIERS, BOUND_INPUTS, EVEN_OUT, *slower))


def _rules_for_long(history: History, name: str) -> bool:
    steps, shares = history.series("opposing_concentration", name)
    judged = np.isfinite(shares)
    steps, holds = steps[judged], shares[judged] >= _MOST_OF_IT
    for signal, (threshold, _) in _CRITERIA.items():
        values = history.series(f"opposing_{signal}", name)[1][judged]
        holds &= values >= threshold if threshold > 0 else values <= threshold
    if len(steps) < _WINDOWS or not holds[-_WINDOWS:].all():
        return False
    return int(steps[-1] - steps[-_WINDOWS]) + _CHANGES >= _WINDOWS * _CHANGES


_STRONG = 6.0  # root mean squares: normal inputs are never so large
# A swing is told by 8 changes at least (see ``analysis.outliers.judge``), each time by others: three times is 24 steps.
_WINDOWS, _CHANGES, _MOST_OF_IT = 3, 8, 0.5
_ONE_PATTERN, _MOST_OF_A_RISE = 0.9, 0.6
_RECENT = 16  # the longest window of changes that is judged
_PAPER = "Rosenfeld and Risteski 2024 (arXiv 2311.04163)"
_CRITERIA = {
    "energy_share": (0.5, "one pattern carries most of all change; independent noise gives about 1/steps"),
    "concentration": (0.3, f"twice the share of the top 5 % when all samples move alike; {_PAPER}"),
    "lag1": (-0.5, "noise around a level has −½, a swing at each step −1"),
    "correlation": (-0.5, f"the two groups move against each other; {_PAPER}"),
}
