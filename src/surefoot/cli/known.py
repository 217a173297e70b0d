"""Which findings there are, without loading the rules: ``surefoot run`` may not import more than the standard library
before the script."""

from __future__ import annotations

import ast
from difflib import get_close_matches
from pathlib import Path

_CATALOGUE = Path(__file__).parents[1] / "findings" / "catalogue"


def ids() -> set[str]:
    """The ids of the catalogue, read from its source."""
    found: set[str] = set()
    for file in _CATALOGUE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Explanation":
                named = [word.value for word in node.keywords if word.arg == "id"]
                found |= {str(value.value) for value in named if isinstance(value, ast.Constant)}
    return found


def unknown(id: str, own_rules: bool) -> str | None:
    """What is wrong with ``id``, in words; None if it is known, or if rules that are not loaded yet may have it."""
    known = ids()
    if id in known or own_rules or _from_packages():
        return None
    close = get_close_matches(id.lower().replace("_", "-"), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "surefoot findings lists those there are"
    return f"there is no finding {id!r}; {hint}"


def _from_packages() -> bool:
    """Whether an installed package brings rules of its own."""
    from importlib.metadata import entry_points

    return bool(entry_points(group="surefoot.rules"))
