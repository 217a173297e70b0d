"""The part of surefoot's source that a kept result depends on, as a hash: of what records, and of what judges."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import surefoot

PACKAGE = Path(surefoot.__file__).parent


@cache
def recording() -> str:
    """A hash of all that makes a record: observing and writing, not the rules, the words and the pages."""
    return _digest(files_of_recording())


@cache
def judging() -> str:
    """A hash of all that turns a record into findings."""
    return _digest(files_of_judging())


def files_of_recording() -> set[Path]:
    """The files whose change makes a record out of date."""
    entries = [PACKAGE / "cli" / "run.py", PACKAGE / "monitor" / "session.py"]
    # The commands beside `run` hang on the package of commands, which a watched run does not go through.
    return _reached(entries, ("findings/", "report/", "plots.py", "cli/__init__.py"))


def files_of_judging() -> set[Path]:
    """The files whose change makes findings out of date."""
    return _reached([*(PACKAGE / "findings").rglob("*.py")], ())


def _reached(waiting: list[Path], without: tuple[str, ...]) -> set[Path]:
    """Files with all that they import; what begins with one of ``without`` is left out."""
    files: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in files and not path.relative_to(PACKAGE).as_posix().startswith(without):
            files.add(path)
            waiting += _imports(path)
    return files


def _digest(files: set[Path]) -> str:
    lines = [f"{path.relative_to(PACKAGE)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(files)]
    return hashlib.sha256("\n".join([*lines, version("torch")]).encode()).hexdigest()[:16]


def _imports(path: Path) -> list[Path]:
    """The files of surefoot that a file imports from, anywhere in it."""
    home = ("surefoot", *path.relative_to(PACKAGE).parent.parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else ()
            base = [*above, *(node.module.split(".") if node.module else ())]
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "surefoot":
                found += [file for end in range(2, len(name) + 1) for file in _files(name[1:end])]
    return found


def _files(parts: list[str]) -> list[Path]:
    place = PACKAGE.joinpath(*parts)
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
