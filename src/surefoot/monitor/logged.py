"""Signals of the user's own: numbers given to ``surefoot.log``, kept until their step is complete."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from surefoot.observe.later import Later
    from surefoot.runs.schema import Family

FAMILY = "user"
_NAME = re.compile(r"[A-Za-z_][\w./-]*")


def log(name: str, value: float | Tensor, where: str = "") -> None:
    """Record a number of your own beside surefoot's signals, in the family ``user``.

    It belongs to the optimizer's steps taken so far: what is logged after the tenth step is of step 10. Of one name and
    place the newest number of a step is kept. Where nothing is watched this does nothing, so the line can stay in a
    script. A tensor on an accelerator is read without waiting for the device.

    Parameters
    ----------
    name : the signal's name, such as ``"validation_accuracy"``; not one that ``surefoot signals`` lists
    value : a number, or a tensor with one element
    where : what it is of, if there are several: a layer, a task, a data set

    Raises
    ------
    TypeError, ValueError
        If ``name`` is no name, or ``value`` is no number.

    Examples
    --------
    >>> import surefoot
    >>> surefoot.log("validation_accuracy", 0.93)
    """
    if not isinstance(name, str) or not isinstance(where, str):
        raise TypeError(f"name and where must be strings; got {type(name).__name__} and {type(where).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"name must be a word such as 'validation_accuracy'; got {name!r}")
    if not isinstance(value, Real):
        elements = getattr(value, "numel", lambda: math.nan)() if hasattr(value, "detach") else math.nan
        if elements != elements and not hasattr(value, "__float__"):
            raise TypeError(f"value must be a number or a tensor with one element; got {type(value).__name__}")
        if elements == elements and elements != 1:
            raise ValueError(f"value must have one element; got a tensor with {elements}")
    live = sys.modules.get("surefoot.monitor.live")  # not imported: nothing is watched then
    session = None if live is None else live.current()
    if session is not None:
        session.log(name, value, where)


class Logged:
    """What was logged and is not yet in the record.

    Parameters
    ----------
    later : reads tensors from devices
    """

    def __init__(self, later: Later) -> None:
        self._later = later
        self._columns: list[tuple[str, str]] = []
        self._family: Family | None = None
        self._steps: dict[int, dict[tuple[str, str], float]] = {}
        self._held: list[int] = []  # steps of which a device still owes a number

    def put(self, step: int, name: str, value: Any, where: str) -> None:
        """Take one number."""
        column = (name, where)
        if column not in self._columns:
            self._columns.append(column)
            self._family = None
        values = self._steps.setdefault(step, {})
        if not hasattr(value, "detach"):
            values[column] = float(value)
            return
        values[column] = math.nan
        self._held.append(step)

        def arrived(found: list[np.ndarray]) -> None:
            values[column] = float(found[0].reshape(-1)[0])
            self._held.remove(step)

        self._later.ask([value.detach()], arrived)

    def complete(self, until: int | None) -> int | None:
        """Up to which step, at most ``until``, all numbers are there; None is the end of the run, which waits."""
        if until is None:
            self._later.drain()
            return None
        self._later.poll()
        return min([until, *(step - 1 for step in self._held)])

    def rows(self, until: int | None) -> Iterator[tuple[int, Family, np.ndarray]]:
        """The rows of the steps up to ``until`` (all if None), oldest first; they are not kept."""
        import numpy as np

        from surefoot.runs.schema import Family

        for step in sorted(self._steps):
            if until is not None and step > until:
                break
            if self._family is None:
                self._family = Family(FAMILY, tuple(self._columns))
            values = self._steps.pop(step)
            row = np.array([values.get(column, math.nan) for column in self._family.columns], dtype=np.float32)
            yield step, self._family, row
