"""float16 overflow between layers: a part of ``low-precision-overflow``."""

from __future__ import annotations

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy


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
