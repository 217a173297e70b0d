"""``divergence``: the loss has left what the run has shown so far, upwards, and stays there.

Where the scale of a loss is understood (never negative, began near what a constant prediction scores), diverged means:
three quarters of the newest losses are above the first level plus all that had been gained plus three times the noise,
and twice as high as the best constant prediction, which needs no network at all.

Where it is not (returns that grow, adversaries that trade wins, several optimisers, losses below zero), a rising loss
is no fault: policy-gradient losses grow with the return, a generator's loss grows while its critic learns. There only
growth by orders of magnitude counts: three quarters of the newest losses a hundred times above everything the first 16
steps showed, and still rising.
"""

from __future__ import annotations

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence

_MIN_ROWS = 6
_ORDERS = 100.0


@rule("divergence", needs=("step",))
def divergence(history: History) -> Sign | None:
    """Loss lost all it had gained and as much again, beyond its noise; see the module."""
    for name, level in history.losses.items():
        if not level.refreshed or level.count < _MIN_ROWS or level.recent <= level.first:
            continue
        threshold, source = _bound(level, sole=len(history.losses) == 1)
        if level.low > threshold:
            factor = level.recent / abs(level.first) if level.first else float("inf")
            cause = (
                f"the loss diverges: its recent median {level.recent:.3g} is {factor:.3g} times the first loss "
                f"{level.first:.3g}, after a best of {level.best:.3g}."
            )
            evidence = Evidence("loss", name, history.step, level.low, threshold, source)
            where = (name,) if name else ()
            return Sign("critical", cause, (evidence,), where, None, (remedies.lower_rate(10.0), remedies.CLIP))
    return None


def _bound(level: LossLevel, sole: bool) -> tuple[float, str]:
    if level.known and sole:
        gained = max(0.0, level.first - level.best)
        bound = max(level.first + gained + 3 * level.best_noise, 2 * level.base)
        return bound, (
            "the run's own history: first loss + all that was gained + 3 × noise, and twice the loss of the best "
            "constant prediction; compared with the lower quartile of the newest losses"
        )
    scale = max(abs(level.early_high), abs(level.first), 3 * level.noise if level.noise < abs(level.first) else 0.0)
    return _ORDERS * scale, (
        "a hundred times the highest of the first 16 losses (the scale of this loss is not known: it may rise in a "
        "healthy run); compared with the lower quartile of the newest losses"
    )
