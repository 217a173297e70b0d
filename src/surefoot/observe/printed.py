"""The numbers that the script prints as it goes: what its author looks at, a validation computed by hand among them.

What is written to ``sys.stdout`` goes where it would have gone, and complete lines are read for names and numbers. Of
lines that begin alike, those a 256th of the run apart are read and no more: as many as rules can tell apart.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from surefoot.analysis.printed_numbers import of_the_result, pairs
from surefoot.observe.guard import Guard
from surefoot.observe.home import Home
from surefoot.observe.rows import Rows
from surefoot.observe.scene import Scene

_NAMES = 16  # different ones that are kept
_KINDS = 64  # beginnings of lines that are told apart
_BEGINNING = 6  # characters
_LONGEST = 1024  # of a line; a longer one is no row of numbers for people
_APART = 256


class PrintedNumbers:
    """Reads what the script writes to the ``sys.stdout`` of now, until :meth:`stop`.

    Parameters
    ----------
    scene : whose steps are counted
    home : in which thread
    rows : takes ``printed_number``, of the last step before the line, under the name that was printed
    guard : runs a function of ours inside one of the script's
    """

    def __init__(self, scene: Scene, home: Home, rows: Rows, guard: Guard) -> None:
        self._scene, self._home, self._rows, self._guard = scene, home, rows, guard
        self._line = ""
        self._names: set[str] = set()
        self._read_at: dict[str, int] = {}  # by the beginning of a line: the step at which one was read
        self._out: Any = None

    def listen(self) -> None:
        """From now on; not where the stream does not let itself be listened to."""
        out = sys.stdout
        write = getattr(out, "write", None)
        if write is None or "write" in getattr(out, "__dict__", {"write": None}):
            return

        def written(text: Any) -> Any:
            result = write(text)
            if self._out is not None and self._home.known_here() and not self._guard.working:
                self._guard("printed numbers", self._take, text)
            return result

        try:
            out.write = written  # type: ignore[method-assign]
        except (AttributeError, TypeError):
            return
        self._out, self._written = out, written

    def stop(self) -> None:
        """Put the stream back as it was, unless somebody stands before it, too."""
        out, self._out = self._out, None
        if out is not None and out.__dict__.get("write") is self._written:
            del out.write

    def _take(self, text: Any) -> None:
        if "\n" not in text:
            self._line = (self._line + text)[-_LONGEST:]
            return
        *lines, rest = (self._line + text).split("\n")
        self._line = rest[-_LONGEST:]
        step = self._scene.clock.steps
        for line in lines:
            if line and len(line) <= _LONGEST and self._due(line[:_BEGINNING], step):
                self._read(line, step)

    def _due(self, kind: str, step: int) -> bool:
        before = self._read_at.get(kind, -1)
        if 0 <= before < step < before + step // _APART or (before < 0 and len(self._read_at) >= _KINDS):
            return False
        self._read_at[kind] = step
        return True

    def _read(self, line: str, step: int) -> None:
        for name, value in pairs(line):
            if name not in self._names:
                if len(self._names) >= _NAMES or not of_the_result(name):
                    continue
                self._names.add(name)
            if math.isfinite(value):
                self._rows.put(step, "printed", name, printed_number=value)
