"""One live run: observing, recording, judging and telling, composed.

Nothing is imported before it is used (PEP 562): ``surefoot run`` loads this room before the user's script.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "TrainingStopped": "surefoot.monitor.stop",
    "log": "surefoot.monitor.logged",
    "watch": "surefoot.monitor.handle",
}

__all__ = ["TrainingStopped", "log", "watch"]

if TYPE_CHECKING:
    from surefoot.monitor.handle import watch
    from surefoot.monitor.logged import log
    from surefoot.monitor.stop import TrainingStopped


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'surefoot.monitor' has no attribute {name!r}; it has {', '.join(__all__)}")
