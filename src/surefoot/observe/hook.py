"""Hooks on the modules of a script, which may copy or save its model while they are there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any


class Hook:
    """What hangs on a module for a while.

    A copy of the module (an average of its weights, say), or a file with the whole module, gets something of Python's
    own in its place, which does nothing and can be loaded where there is no surefoot: a message of level 0, the one
    that every logger ignores.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial, (logging.getLogger("hook").log, 0, "")
