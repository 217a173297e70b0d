"""The number that a script itself prints: how it is read, and whether it is as good as the twin's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LAST = 11  # printed values whose median is what a run came to
WIDENED = 0.10  # of the twin's own change
Better = Literal["min", "max"]


@dataclass(frozen=True)
class Printed:
    """The values of a metric in the order of printing, and the steps that their lines name (if all do)."""

    values: tuple[float, ...]
    steps: tuple[int, ...] | None


def read(output: str, name: str) -> Printed:
    """Find ``name NUMBER`` in a script's output."""
    number = re.compile(rf"\b{re.escape(name)}\s+([-+\d.einfa]+)")
    step = re.compile(r"\bstep\s+(\d+)")
    values: list[float] = []
    steps: list[int] = []
    for line in output.splitlines():
        for match in number.finditer(line):
            try:
                value = float(match[1].rstrip("."))
            except ValueError:  # a word that looks like one, such as "loss in"
                continue
            values.append(value)
            named = step.search(line)
            if named is not None:
                steps.append(int(named[1]))
    return Printed(tuple(values), tuple(steps) if values and len(steps) == len(values) else None)


def badness(values: Sequence[float] | np.ndarray, better: Better) -> np.ndarray:
    """The values turned so that less is better and what is not a number is the worst of all."""
    turned = np.asarray(values, dtype=float) * (1.0 if better == "min" else -1.0)
    return np.where(np.isnan(turned), np.inf, turned)


def final(values: Sequence[float] | np.ndarray) -> float:
    """What a run came to: the median of the last 11 values of its badness."""
    return float(np.median(np.asarray(values, dtype=float)[-LAST:])) if len(values) else float("inf")


def limit(twins: Sequence[np.ndarray]) -> float:
    """The worst that is as good as the twin: the upper end of the band of its seeds, widened by 10 % of its change.

    Parameters
    ----------
    twins : the badness of each seed's values; the change is from the first value to what the run came to, in the
        median over the seeds.
    """
    finals = [final(values) for values in twins]
    changes = [abs(values[0] - end) for values, end in zip(twins, finals, strict=True) if len(values)]
    change = float(np.median(changes)) if changes else 0.0
    return max(finals) + WIDENED * change if finals and np.isfinite(change) else float("-inf")


def no_worse(values: np.ndarray, twins: Sequence[np.ndarray]) -> bool:
    """Whether a run came to what its twin comes to; all as badness."""
    return bool(final(values) <= limit(twins))
