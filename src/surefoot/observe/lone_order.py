"""Rows that a script puts in another order than what belongs to them, as its text says.

``images = images[order]`` where ``images, labels = …`` were loaded together and ``labels`` is never given the same
order; or each is given one that is drawn by itself, in one statement after the other. It is read once, of the file that
is run, and nothing is run for it: what a finding says does not rest on it, but a cure can name the statement.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ORDERS = frozenset({"argsort", "randperm", "permutation", "lexsort"})  # what they give is an order of rows
_DRAWN = frozenset({"randperm", "permutation", "shuffle"})  # an order that no second call gives again
_TOGETHER = frozenset({"TensorDataset", "zip", "train_test_split"})  # what they get belongs together
_NAMES = ("rows", "order", "row_order")
_Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class LoneOrder:
    """A statement that orders rows of one of several.

    Attributes
    ----------
    line : of the statement
    statement : in one line; with that of the other where each is ordered by itself
    together : code to be in its place, which orders all of them
    left : the names that have another order
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
    return (*(found for scope in scopes for found in _in_scope(scope)), *_each_by_itself(tree))


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
            yield _lone((statement,), (name, *left), made, key, statements)


def _each_by_itself(tree: ast.Module) -> Iterator[LoneOrder]:
    """Statements side by side that each draw an order of their own, for what is used together elsewhere."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for first, second in itertools.pairwise(body) if isinstance(body, list) else ():
            pair = [_ordered(statement, frozenset()) for statement in (first, second)]
            drawn = [any(_draws(n) for n in ast.walk(statement)) for statement in (first, second)]
            if None in pair or not all(drawn):
                continue
            (name, made, key), (other, _, _) = pair  # type: ignore[misc]
            if name != other and _used_together(name, other, tree):
                yield _lone((first, second), (name, other), made, key, [tree])


def _draws(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node) in _DRAWN


def _used_together(name: str, other: str, tree: ast.Module) -> bool:
    """Whether two names are joined, or indexed by the same in one statement."""
    pair = {name, other}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in _TOGETHER and pair <= set(_plain(node.args)):
            return True
        if isinstance(node, ast.Assign | ast.Expr | ast.Return):
            taken = [n for n in ast.walk(node) if isinstance(n, ast.Subscript) and not _is_fixed(n.slice)]
            by = [{ast.unparse(n.slice) for n in taken if ast.unparse(n.value) == one} for one in (name, other)]
            if by[0] & by[1]:
                return True
    return False


def _is_fixed(key: ast.expr) -> bool:
    """Whether a key names nothing: ``[0]``, ``[:100]``."""
    return not any(isinstance(n, ast.Name) for n in ast.walk(key))


def _lone(
    statements: Sequence[ast.stmt], names: Sequence[str], made: str, key: str, around: Sequence[ast.AST]
) -> LoneOrder:
    """``names`` in the order of the first of them, which ``made`` makes or which is called ``key``."""
    used = {n.id for s in around for n in ast.walk(s) if isinstance(n, ast.Name)}
    rows = key if not made else next((word for word in _NAMES if word not in used), "rows_")
    together = made.replace("ROWS", rows) + f"{', '.join(names)} = " + _taken(names, rows, plain=not _listed(made))
    text = "; ".join(map(ast.unparse, statements))
    return LoneOrder(statements[0].lineno, text, together + "\n", tuple(names[1:]))


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
