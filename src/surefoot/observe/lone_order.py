"""Rows that a script puts in another order while what belongs to them keeps the old one, as its text says.

``images = images[order]`` where ``images, labels = …`` were loaded together and ``labels`` is never given the same
order. It is read once, of the file that is run, and nothing is run for it: what a finding says does not rest on it, but
a cure can name the statement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ORDERS = frozenset({"argsort", "randperm", "permutation", "lexsort"})  # what they give is an order of rows
_TOGETHER = frozenset({"TensorDataset", "zip", "train_test_split"})  # what they get belongs together
_NAMES = ("rows", "order", "row_order")
_Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class LoneOrder:
    """A statement that orders rows of one of several.

    Attributes
    ----------
    line : of the statement
    statement : in one line
    together : code to be in its place, which orders all of them
    left : the names that kept the old order
    """

    line: int
    statement: str
    together: str
    left: tuple[str, ...]


def lone_orders(source: str) -> tuple[LoneOrder, ...]:
    """All such statements of a script; none where its text is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    scopes: list[_Scope] = [tree]
    scopes += [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return tuple(found for scope in scopes for found in _in_scope(scope))


def _in_scope(scope: _Scope) -> Iterator[LoneOrder]:
    statements = [s for s in _statements(scope.body) if not isinstance(s, ast.For | ast.While)]
    orders = {
        s.targets[0].id
        for s in statements
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and _is_order(s.value, frozenset())
    }
    ordered = [(s, *found) for s in statements if (found := _ordered(s, frozenset(orders))) is not None]
    changed = {name for _, name, _, _ in ordered}
    subscripted = {
        (ast.unparse(n.value), ast.unparse(n.slice))
        for s in statements
        for n in ast.walk(s)
        if isinstance(n, ast.Subscript)
    }
    for statement, name, made, key in ordered:
        left = [other for other in _partners(name, statement, statements) if other not in changed]
        left = [other for other in left if (other, key) not in subscripted]
        if left:
            used = {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name)}
            rows = key if not made else next((word for word in _NAMES if word not in used), "rows_")
            names = (name, *left)
            together = (
                made.replace("ROWS", rows) + f"{', '.join(names)} = " + _taken(names, rows, plain=not _listed(made))
            )
            yield LoneOrder(statement.lineno, ast.unparse(statement), together + "\n", tuple(left))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a scope that run once: not in loops, functions, classes."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.With | ast.Try):
            yield from _statements(statement.body)


def _is_order(value: ast.expr, names: frozenset[str]) -> bool:
    """Whether an expression is an order of rows: a call of what makes one, or a name of one."""
    if isinstance(value, ast.Name):
        return value.id in names
    return any(isinstance(n, ast.Call) and _called(n) in _ORDERS for n in ast.walk(value))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _ordered(statement: ast.stmt, orders: frozenset[str]) -> tuple[str, str, str] | None:
    """What is ordered, the code that makes the order ("" where it has a name), and that name or the order itself."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        name, value = ast.unparse(statement.targets[0]), statement.value
        if isinstance(value, ast.Subscript) and ast.unparse(value.value) == name and _is_order(value.slice, orders):
            key = ast.unparse(value.slice)
            return name, "" if isinstance(value.slice, ast.Name) else f"ROWS = {key}\n", key
        if isinstance(value, ast.Call) and len(value.args) == 1 and ast.unparse(value.args[0]) == name:
            if _called(value) == "permutation":
                return name, f"ROWS = {ast.unparse(value.func)}(len({name}))\n", ""
            if _called(value) == "sorted":
                return name, f"ROWS = sorted(range(len({name})), {_by(name, value.keywords)})\n", ""
    call = getattr(statement, "value", None)
    if isinstance(statement, ast.Expr) and isinstance(call, ast.Call) and _called(call) == "shuffle" and call.args:
        name = ast.unparse(call.args[0])
        return name, f"ROWS = list(range(len({name})))\n{ast.unparse(call.func)}(ROWS)\n", ""
    return None


def _by(name: str, keywords: Sequence[ast.keyword]) -> str:
    """The keywords of ``sorted``, for positions in the place of what stands there."""
    key = next((ast.unparse(word.value) for word in keywords if word.arg == "key"), "")
    by = f"key=lambda i: ({key})({name}[i])" if key else f"key={name}.__getitem__"
    return ", ".join([by, *(f"{word.arg}={ast.unparse(word.value)}" for word in keywords if word.arg != "key")])


def _listed(made: str) -> bool:
    return "range(" in made


def _taken(names: Sequence[str], rows: str, plain: bool) -> str:
    if plain:
        return ", ".join(f"{name}[{rows}]" for name in names)
    return f"(part[{rows}] if hasattr(part, 'shape') else [part[i] for i in {rows}] for part in ({', '.join(names)}))"


def _partners(name: str, where: ast.stmt, statements: Sequence[ast.stmt]) -> list[str]:
    """Names that were given a value together with this one, or that are used together with it."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and statement.lineno < where.lineno:
            target = statement.targets[0]
            if isinstance(target, ast.Tuple | ast.List) and name in (names := _plain(target.elts)):
                return [other for other in names if other != name]
    for statement in statements:
        for node in ast.walk(statement) if statement.lineno > where.lineno else ():
            if isinstance(node, ast.Call) and _called(node) in _TOGETHER and name in (names := _plain(node.args)):
                return [other for other in names if other != name]
    return []


def _plain(nodes: Sequence[ast.expr]) -> list[str]:
    return [ast.unparse(n) for n in nodes if isinstance(n, ast.Name | ast.Attribute)]
