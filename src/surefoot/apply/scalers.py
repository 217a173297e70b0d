"""The script's gradient scalers, looked up once."""

from __future__ import annotations

import weakref
from typing import Any

from surefoot.observe.discover import census


class Scalers:
    """Those that there were when they were first asked for."""

    def __init__(self) -> None:
        self._known: list[weakref.ref[Any]] | None = None

    def enabled(self) -> list[Any]:
        """Those that are still there, and scale."""
        if self._known is None:
            self._known = [weakref.ref(scaler) for scaler in census().scalers]
        return [s for ref in self._known if (s := ref()) is not None and s.is_enabled()]
