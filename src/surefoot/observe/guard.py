"""Functions of ours inside the script's: accounted for, and never in its way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from surefoot.observe.account import Account
from surefoot.observe.clock import Clock
from surefoot.observe.rows import Sink

_OF_THE_LAST_STEP = ("look", "schedulers")  # events that are told when the step that they are of is over
_NEEDED = ("clock", "loss")  # nothing can be said without them


class Guard:
    """``guard(signal, function, *args)`` runs a function of ours; an exception of it is told once and turns the signal
    off, the script goes on.

    Parameters
    ----------
    account : charged with the time
    clock : knows the step under way
    sink : takes events

    Attributes
    ----------
    on : False once nothing can be said any more
    """

    def __init__(self, account: Account, clock: Clock, sink: Sink) -> None:
        self.on = True
        self._account, self._clock, self._sink = account, clock, sink
        self._off: set[str] = set()  # signals that failed once

    @property
    def working(self) -> bool:
        """Whether what runs now is ours: a pass of our own calls functions that the script calls, too."""
        return self._account.is_open

    def __call__(self, signal: str, function: Callable[..., Any], *args: Any) -> Any:
        """What ``function`` gives; None if its signal is off."""
        if signal in self._off:
            return None
        outermost = self._account.open()
        try:
            return function(*args)
        except Exception as error:
            self.failed(signal, error)
            return None
        finally:
            if outermost:
                self._account.close()

    def failed(self, signal: str, error: Exception) -> None:
        """What belongs to ``signal`` has raised."""
        if signal not in self._off:
            self._off.add(signal)
            self.tell("note", text=f"{signal} is off: {type(error).__name__}: {error}")
        if signal in _NEEDED:
            self.on = False

    def tell(self, kind: str, /, *, at: int | None = None, **data: Any) -> None:
        """An event of the step that is under way, or of step ``at``; a note is told on stderr too."""
        step = self._clock.steps + (kind not in _OF_THE_LAST_STEP) if at is None else at
        if kind == "note":
            print(f"surefoot: {data['text']}; the run goes on", file=sys.stderr)
        try:
            self._sink.event(step, kind, **data)
        except Exception:
            self.on = False
