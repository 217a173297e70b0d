"""The text of the script that is run, for what only it can tell. Nothing is run for it."""

from __future__ import annotations

import linecache
import sys


def script_text() -> str:
    """The source of the file that runs as ``__main__``; empty where there is none."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return "".join(linecache.getlines(file)) if file else ""
