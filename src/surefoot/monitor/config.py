"""Settings from the nearest ``pyproject.toml`` with a ``[tool.surefoot]``. The standard library is all it imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

_MENTIONED = re.compile(r"tool\s*\.\s*surefoot|^\s*\[\s*tool\s*\]", re.MULTILINE)


@dataclass(frozen=True)
class Config:
    """What ``[tool.surefoot]`` may hold.

    Attributes
    ----------
    budget : share of the steps' time that watching may cost; None where it isn't set
    ignore : findings that are not to be told, as ``ID`` or ``ID@module``
    stop_on : what ends a run: ``"critical"`` or findings' ids, with commas between; None for nothing
    rules : modules (``mypackage.rules``) or files (absolute) to import for the rules in them
    """

    budget: float | None = None
    ignore: tuple[str, ...] = ()
    stop_on: str | None = None
    rules: tuple[str, ...] = ()


def find(starts: Iterable[str | os.PathLike[str]]) -> Config:
    """The settings of the first ``pyproject.toml`` that has some, from each start upwards; defaults if there is none.

    Raises
    ------
    ValueError
        If the file can't be read or a setting is not understood; the message names both.
    """
    seen: set[Path] = set()
    for start in starts:
        place = Path(os.path.abspath(start))
        for folder in (place, *place.parents):
            if folder in seen:
                break
            seen.add(folder)
            file = folder / "pyproject.toml"
            if file.is_file():
                settings = _read(file)
                if settings is not None:
                    return _checked(file, settings)
    return Config()


def _read(file: Path) -> dict[str, Any] | None:
    try:
        text = file.read_text(encoding="utf-8")
        if not _MENTIONED.search(text):
            return None  # other people's mistakes in it are not ours to report
        import tomllib

        tool = tomllib.loads(text).get("tool")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} can't be read: {error}") from None
    settings = tool.get("surefoot") if isinstance(tool, dict) else None
    return settings if isinstance(settings, dict) else None


def _checked(file: Path, settings: dict[str, Any]) -> Config:
    known = Config.__dataclass_fields__
    for key in settings:
        if key not in known:
            close = get_close_matches(key.replace("-", "_"), list(known), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise ValueError(f"{file}: [tool.surefoot] has no setting {key!r}; {hint}")

    def refuse(key: str, wanted: str) -> ValueError:
        return ValueError(f"{file}: [tool.surefoot] {key} = {settings[key]!r}; it must be {wanted}")

    budget, stop_on = settings.get("budget"), settings.get("stop_on")
    if budget is not None and (not isinstance(budget, (int, float)) or isinstance(budget, bool) or not 0 < budget <= 1):
        raise refuse("budget", "a share of step time, above 0 and at most 1")
    if stop_on is not None and not isinstance(stop_on, str):
        raise refuse("stop_on", "'critical' or a finding's id")
    lists: dict[str, tuple[str, ...]] = {}
    for key in ("ignore", "rules"):
        value = settings.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise refuse(key, "a list of strings")
        lists[key] = tuple(value)
    rules = tuple(str(file.parent / rule) if rule.endswith(".py") else rule for rule in lists["rules"])
    return Config(None if budget is None else float(budget), lists["ignore"], stop_on, rules)
