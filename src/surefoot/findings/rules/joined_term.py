"""``loss-term-imbalance`` by a term that joins a loss late, and is so loud that what had been learned is given up."""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.term_cures import drowned_by
from surefoot.runs.schema import Evidence

_BEFORE = 16  # rows of the loss that say what the other term had come to
_LEAP = 10.0  # times the highest of those; and times their median, as for a term that is given up
_DROWNED = 0.01  # of the gradient
_RAISED, _LATER = 2.0, 32  # times the loss before; steps after the leap, which the first ones are not to hide
_STAYS = 0.5  # of the highest it has been since: it is not on its way back
_LOOKS, _STEPS = 3, 100  # 1/_DROWNED steps, as for a term that is drowned from the start


def joined(history: History, names: list[str], aims: list[str]) -> Sign | None:
    """The loss leapt to ten times the highest of 16 rows, with no new optimiser, and is a sum since then, for 100 steps
    and three looks; one of its terms in ``aims`` has a hundredth of another's gradient, and is at ten times the loss of
    before the leap at every look and never lower than half of its highest; or at twice that at each of three looks
    from 32 steps after the leap on, and now no lower than half of its highest there: warning."""
    steps = history.measured("term_gradient_norm", names[0])[0]
    if len(history.losses) != 1 or len(steps) < _LOOKS:
        return None
    leap = _leap(history, int(steps[0]))
    if leap is None or steps[-1] - leap[0] < _STEPS:
        return None
    step, before = leap
    gradients = {name: history.measured("term_gradient_norm", name)[1] for name in names}
    if any(len(values) != len(steps) for values in gradients.values()):
        return None
    loud = max(names, key=lambda name: float(np.median(gradients[name])))
    for name in aims:
        known = dict(zip(*history.measured("term_value", name), strict=True))
        values = np.array([known.get(step, np.nan) for step in steps])
        drowned = np.isfinite(values).all() and gradients[name][-1] <= _DROWNED * gradients[loud][-1]
        if name == loud or not drowned or not (high := _raised(values, before, steps >= step + _LATER)):
            continue
        now = float(values[-1])
        evidence = (
            Evidence("term_value", name, int(steps[-1]), now, high * before,
                     f"{high:g} times the loss before step {step}, when it stood alone"),
            Evidence("term_gradient_norm", name, int(steps[-1]), float(gradients[name][-1]),
                     float(_DROWNED * gradients[loud][-1]),
                     f"a hundredth of that of {loud} (Wang, Teng, Perdikaris 2021)"),
        )  # fmt: skip
        cause = (
            f"at step {step} {loud} joined the loss, with a gradient "
            f"{gradients[loud][-1] / gradients[name][-1]:.3g} times that of {name}: the loss had been down to "
            f"{before:.3g}, {name} is at {now:.3g} since."
        )
        return Sign("warning", cause, evidence, (), step, drowned_by(history, loud))
    return None


def _raised(values: np.ndarray, before: float, later: np.ndarray) -> float:
    """Times the loss before, by which a term is higher now; 0 where it is not, or is on its way back."""
    if values.min() >= max(_LEAP * before, _STAYS * values.max()):
        return _LEAP
    late = values[later]
    settled = len(late) >= _LOOKS and late.min() >= _RAISED * before and late[-1] >= _STAYS * late.max()
    return _RAISED if settled else 0.0


def _leap(history: History, until: int) -> tuple[int, float] | None:
    """The step at which the loss leapt before its terms were first seen, and its level before."""
    [name] = history.losses
    rows, losses = history.measured("loss", name)
    losses = losses[rows <= until]
    if len(losses) <= _BEFORE:
        return None
    before = np.lib.stride_tricks.sliding_window_view(losses[:-1], _BEFORE)
    found = np.flatnonzero((before.max(1) > 0) & (losses[_BEFORE:] >= _LEAP * before.max(1)))
    if not len(found):
        return None
    at = int(found[-1])
    step, began = int(rows[at + _BEFORE]), int(rows[at])
    renewed = any(began < event.step <= step for event in history.events("optimizers"))
    return None if renewed else (step, float(np.median(before[at])))
