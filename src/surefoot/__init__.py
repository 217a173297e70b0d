"""surefoot: find out why training goes wrong, before it costs you the run, and fix it.

The public face: names are imported from their rooms on first use (PEP 562), so that ``import surefoot`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "watch": "surefoot.monitor",
    "log": "surefoot.monitor",
    "TrainingStopped": "surefoot.monitor",
    "open_run": "surefoot.runs",
    "diagnose": "surefoot.findings",
    "Evidence": "surefoot.runs",
    "Finding": "surefoot.runs",
    "Remedy": "surefoot.runs",
    "Run": "surefoot.runs",
}

__all__ = [
    "Evidence",
    "Finding",
    "Remedy",
    "Run",
    "TrainingStopped",
    "__version__",
    "diagnose",
    "log",
    "open_run",
    "watch",
]

if TYPE_CHECKING:
    from surefoot.findings import diagnose
    from surefoot.monitor import TrainingStopped, log, watch
    from surefoot.runs import Evidence, Finding, Remedy, Run, open_run


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'surefoot' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
