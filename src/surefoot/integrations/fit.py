"""What the callbacks share: one watch a fit, opened and closed once, whatever ends the fit."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from surefoot.monitor.handle import Watch, watch
from surefoot.runs.schema import SEVERITIES, Finding


class Fit:
    """A watch that is open from :meth:`begin` to :meth:`end`, or to the end of the process.

    Parameters
    ----------
    options : keyword arguments of :func:`surefoot.watch`
    tell : is called with each finding that is new or has become more severe
    """

    def __init__(self, options: dict[str, Any], tell: Callable[[Finding], None]) -> None:
        for name in ("model", "optimizer"):
            if name in options:
                raise TypeError(f"{name} is known to the trainer; leave it out")
        self._options = options
        self._tell = tell
        self._theirs = options.get("on_finding")
        self.watch: Watch | None = None

    @property
    def path(self) -> Path | None:
        """The folder of the newest run; None before the first."""
        return None if self.watch is None else self.watch.path

    def begin(self, model: nn.Module) -> None:
        """Training begins."""
        self.end()  # a fit that an exception ended, in a framework that does not tell of it
        self.watch = watch(model, **{**self._options, "on_finding": self._found})
        atexit.register(self._at_exit)

    def end(self, exception: BaseException | None = None) -> None:
        """Training is over; does nothing if none is open."""
        atexit.unregister(self._at_exit)
        if self.watch is not None:
            self.watch.close(exception)

    def _at_exit(self) -> None:
        """The process ends and nobody told that training did: by what, the interpreter remembers."""
        self.end(getattr(sys, "last_exc", None) or getattr(sys, "last_value", None))

    def _found(self, finding: Finding) -> None:
        self._tell(finding)
        if self._theirs is not None:
            self._theirs(finding)


def in_words(finding: Finding) -> str:
    """A finding in one line."""
    where = f" in {', '.join(finding.where[:3])}" if any(finding.where) else ""
    return f"surefoot: {finding.id} ({finding.severity}){where} since step {finding.first_step:,}: {finding.cause}"


def level(finding: Finding) -> int:
    """1 for info, 2 for warning, 3 for critical."""
    return SEVERITIES.index(finding.severity) + 1
