"""Whether a script sets learning rates by hand, as its text says: ``group["lr"] = …`` in a loop over the groups.

It is read once, of the file that is run, and nothing is run for it. Where no statement sets a rate, and no scheduler
does, a rate that is 0 stays 0.
"""

from __future__ import annotations

import ast

_KEY = "lr"
_GROUPS = "param_groups"


def sets_rates(source: str) -> bool:
    """Whether any statement may give a group of parameters another rate; also where the text is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return True
    return any(map(_may_set, ast.walk(tree)))


def _may_set(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        # a name may stand for this key, as in group[key] = value; a slice, a number or another word does not
        return node.slice.value == _KEY if isinstance(node.slice, ast.Constant) else _of_a_group(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
        words = [word.arg for word in node.keywords]
        keys = [k.value for a in node.args if isinstance(a, ast.Dict) for k in a.keys if isinstance(k, ast.Constant)]
        return _KEY in words or _KEY in keys
    return isinstance(node, ast.Attribute) and node.attr == _GROUPS and isinstance(node.ctx, ast.Store)


def _of_a_group(node: ast.Subscript) -> bool:
    held = {n.attr for n in ast.walk(node.value) if isinstance(n, ast.Attribute)}
    named = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    return _GROUPS in held or any("group" in name for name in named)
