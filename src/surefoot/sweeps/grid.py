"""The values of one placeholder: ``1e-4:1e-1:log7``, ``0:0.3:lin4``, or ``64,128,256``."""

from __future__ import annotations

import math
import re

import numpy as np

_RANGE = re.compile(r"([^:]+):([^:]+):(log|lin)(\d+)")


def values(name: str, text: str) -> tuple[str, ...]:
    """The values as they are put into the command.

    ``first:last:logN`` are N numbers evenly spaced in their logarithm, ``first:last:linN`` evenly spaced; anything else
    is a list with commas between, taken as it is written.

    Parameters
    ----------
    name
        Of the placeholder, for the message.
    text
        What was given for it.

    Raises
    ------
    ValueError
        If a range has no numbers, fewer than two points, or an end at 0 or below where it is logarithmic; if a list has
        an empty or a repeated entry.

    Examples
    --------
    >>> values("lr", "1e-4:1e-1:log4"), values("width", "64,128")
    (('0.0001', '0.001', '0.01', '0.1'), ('64', '128'))
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        listed = tuple(entry.strip() for entry in text.split(","))
        if not all(listed) or len(set(listed)) < len(listed) or ":" in text:
            raise ValueError(
                f"--{name}: got {text!r}; give different values such as 64,128,256 or a range such as 1e-4:1e-1:log7"
            )
        return listed
    first, last, kind, points = found.groups()
    try:
        ends = float(first), float(last)
    except ValueError:
        raise ValueError(f"--{name}: the ends of {text!r} are no numbers; a range is written 1e-4:1e-1:log7") from None
    if int(points) < 2 or ends[0] == ends[1] or not all(map(math.isfinite, ends)):
        raise ValueError(f"--{name}: got {text!r}; a range has two different ends and at least 2 points")
    if kind == "log" and min(ends) <= 0:
        raise ValueError(f"--{name}: got {text!r}; a logarithmic range begins and ends above 0")
    made = (np.geomspace if kind == "log" else np.linspace)(*ends, int(points))
    return tuple(f"{value:.6g}" for value in made)
