"""Rules of the user's own: a file or a module whose import registers them."""

from __future__ import annotations

import sys
from importlib import import_module, util
from pathlib import Path


def load(source: str) -> None:
    """Import a module (``mypackage.rules``) or a file (``rules.py``) for the rules that it registers.

    Raises
    ------
    ValueError
        If it can't be imported; the message says why.
    """
    try:
        if source.endswith(".py"):
            _load_file(Path(source))
        else:
            import_module(source)
    except Exception as error:
        raise ValueError(f"rules: {source!r} can't be imported: {type(error).__name__}: {error}") from error


def _load_file(path: Path) -> None:
    name = f"surefoot_rules_{path.stem}"
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a module up by its name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
