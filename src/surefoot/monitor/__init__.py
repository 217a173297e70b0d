"""One live run: observing, recording, judging and telling, composed.

Nothing is imported before it is used (PEP 562): ``surefoot run`` loads this room before the user's script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["watch"]

if TYPE_CHECKING:
    from surefoot.monitor.handle import watch


def __getattr__(name: str) -> Any:
    if name == "watch":
        from surefoot.monitor.handle import watch

        return watch
    raise AttributeError(f"module 'surefoot.monitor' has no attribute {name!r}; it has {', '.join(__all__)}")
