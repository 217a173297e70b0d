"""float16 overflow between layers: a part of ``low-precision-overflow``."""

from __future__ import annotations

import math

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.non_finite import in_float16
from surefoot.runs.schema import Evidence, Remedy

# What gives an infinity of a finite number in any format: 1/0, log 0 and the like.
_POLES = frozenset(("log", "log2", "log10", "log1p", "rsqrt", "pow", "div", "reciprocal", "atanh", "tan"))
_MASKS = frozenset(("maskedfill", "where"))
_ALONE = "the first number that was not finite: what it stands for is finite, and beyond 65504"


def overflowed_at_last(history: History, cures: tuple[Remedy, ...]) -> Sign | None:
    """The first number of the graph that was not finite is infinite, in float16, and neither a pole nor a mask has made
    it so (as masks make scores −∞)."""
    told = [event for event in history.events("nonfinite") if event.data.get("kind") != "gradient"]
    data = told[0].data if told else {}
    if data.get("kind") != "activation" or data.get("value") != "inf" or data.get("operation") in _POLES | _MASKS:
        return None
    if data.get("dtype") != "float16" and (data.get("dtype") or not in_float16(history)):
        return None
    layer = str(data.get("where") or "")
    evidence = Evidence("nonfinite activation", layer, told[0].step, math.inf, 65504.0, _ALONE)
    made = f", made by {data['operation']}" if data.get("operation") else ""
    cause = (
        f"float16 overflows: an activation{f' of {layer}' if layer else ''}{made} is infinite at step {told[0].step}."
    )
    return Sign("critical", cause, (evidence,), (layer,) if layer else (), told[0].step, cures)


def overflowed_between(history: History, cures: tuple[Remedy, ...]) -> Sign | None:
    """An infinity that a division or a maximum makes a number of again is no less wrong: whatever was told apart beyond
    65504 is one and the same after it."""
    for operation in history.wheres("overflowed_share"):
        steps, shares = history.measured("overflowed_share", operation)
        if len(steps) < 2 or steps[-1] != history.step:
            continue
        lost = any(level.nonfinite_step is not None for level in history.losses.values())
        cause = (
            f"float16 overflows between the layers: {100 * shares[-1]:.3g} % of what {operation} gives are infinite, "
            "though all that went in was finite."
        )
        evidence = Evidence("overflowed_share", operation, history.step, float(shares[-1]), 0.0,
                            "a sum or product of finite numbers is infinite only beyond 65504")  # fmt: skip
        return Sign("critical" if lost else "warning", cause, (evidence,), (), int(steps[0]), cures)
    return None
