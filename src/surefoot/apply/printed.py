"""The printed number that branches of a script are compared by.

A branch of the script prints to nowhere, so what it would have printed is read here instead.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from surefoot.analysis.printed_numbers import direction, held_out, pairs


class Printed:
    """Takes what is written to ``sys.stdout``; it is for a process that nobody reads the output of.

    The first number with a direction is kept to, one of held-out data before others.
    """

    def __init__(self) -> None:
        self._line = ""
        self._name = ""
        self._value = math.nan

    def listen(self) -> None:
        """From now on."""
        sys.stdout.write = self._write  # type: ignore[method-assign]

    def badness(self) -> float:
        """The newest value since this was asked last, turned so that less is better; NaN if there was none."""
        value, self._value = self._value, math.nan
        return value

    def _write(self, text: Any) -> int:
        *lines, self._line = (self._line + str(text)).split("\n")
        for line in lines:
            self._read(line)
        self._line = self._line[-4096:]
        return len(text)

    def _read(self, line: str) -> None:
        told = {name: value for name, value in pairs(line) if direction(name)}
        if not self._name and told:
            self._name = next((name for name in told if held_out(name)), next(iter(told)))
        if self._name in told:
            value = -direction(self._name) * told[self._name]
            self._value = math.inf if math.isnan(value) else value
