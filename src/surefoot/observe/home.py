"""The thread that trains: the first in which an optimiser steps, and when that has ended, the next."""

from __future__ import annotations

import threading

_thread = threading.get_ident


class Home:
    """Which thread trains, as far as it is known."""

    __slots__ = ("_thread",)

    def __init__(self) -> None:
        self._thread: int | None = None

    def elsewhere(self) -> bool:
        """Whether this is another thread than the one that trains; False while that is not known."""
        return self._thread is not None and _thread() != self._thread

    def here(self) -> bool:
        """Whether this thread, in which an optimiser steps, is the one that trains."""
        thread = _thread()
        if thread != self._thread:
            if self._thread is not None and any(t.ident == self._thread for t in threading.enumerate()):
                return False
            self._thread = thread
        return True

    def known_here(self) -> bool:
        """Whether this is the thread that is known to train."""
        return _thread() == self._thread
