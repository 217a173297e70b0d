"""A remedy's snippet pasted into a script by machine, where its first line says.

``# after: model`` (or ``optimizer``, ``loss``) goes below the statement that makes ``model`` (``optimizer``,
``loss_fn``) in the scope that trains; where a script has its own name for it, the finding speaks of that one, as in
``# after: net`` or ``# after: self.optimizer``; of several that are made, ``# after: optimizer = LBFGS`` means the one
that is made by a call of that name. ``# replace: STATEMENT`` takes the place of every such statement, and
``# replace: STATEMENT; STATEMENT`` of two that stand on lines of their own, one below the other.
Nothing else is changed, and where there is no such place nothing is pasted.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Sequence

NAMES = {"model": "model", "optimizer": "optimizer", "loss": "loss_fn"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.Module | Function


class NoPlace(ValueError):
    """The script has no place where the snippet belongs."""


def paste(script: str, how: str) -> str:
    """The script with a snippet in its place.

    Parameters
    ----------
    script : Python source
    how : a remedy's code, headed by ``# after: …`` or ``# replace: …``

    Raises
    ------
    NoPlace
        The script has no such place: it makes no ``model``, or has no such statement.
    ValueError
        ``how`` has no such head.
    """
    head, _, body = how.partition("\n")
    where, _, what = head.removeprefix("#").strip().partition(": ")
    tree = ast.parse(script)
    what, _, maker = what.partition(" = ") if where == "after" else (what, "", "")
    if where == "after" and what.replace(".", "").isidentifier():
        anchor, scope = _made(tree, NAMES.get(what, what), maker)
        places, keep = [((anchor,), scope)], True
    elif where == "replace":
        places, keep = _statements(tree, what), False
        if not places:
            raise NoPlace(f"there is no statement {what!r}")
    else:
        raise ValueError(f"how: its first line is {head!r}; use '# after: model|optimizer|loss|NAME' or '# replace: …'")
    lines = script.splitlines()
    inside = any(not isinstance(scope, ast.Module) for _, scope in places)
    # An import inside a function makes the name local to all of it, above the import too.
    imports, rest = _parted(body) if inside else ([], body)
    for anchors, _ in sorted(places, key=lambda place: place[0][0].lineno, reverse=True):
        first, last = _first_line(anchors[0]) - 1, (anchors[-1].end_lineno or anchors[-1].lineno)
        for anchor in anchors:
            _alone(anchor, lines)
        margin = " " * anchors[0].col_offset
        lines[last if keep else first : last] = textwrap.indent(rest.rstrip("\n"), margin).splitlines()
    top = _below_the_head(tree)
    return "\n".join([*lines[:top], *imports, *lines[top:]]) + "\n"


def _made(tree: ast.Module, name: str, maker: str = "") -> tuple[ast.stmt, Scope]:
    """The statement that makes a name where the training is, and the scope that it is in; by a call of ``maker``, if
    one is given and there is one.

    Of several in that scope (a model made, then moved) it is the last before the name's first use by what comes after:
    a model before the optimiser, an optimiser before its steps.
    """
    found = [(s, scope) for s, scope in _walk(tree) if name in _bound(s)]
    if not found:
        raise NoPlace(f"nothing makes {name!r}")
    found = [one for one in found if maker and _calls(one[0], maker)] or found
    training = [scope for s, scope in _walk(tree) if _trains(s)]
    home = next((scope for wanted in (*training, tree) for _, scope in found if scope is wanted), found[-1][1])
    here = [s for s, scope in found if scope is home]
    first_use = [s.lineno for s, scope in _walk(tree) if scope is home and (_steps(s, name) or _optimises(s, name))]
    before = [s for s in here if not first_use or s.lineno <= min(first_use)]
    return (before or here)[-1], home


def _statements(tree: ast.Module, what: str) -> list[tuple[tuple[ast.stmt, ...], Scope]]:
    wanted = [ast.dump(statement) for statement in ast.parse(what).body]
    return [
        (found, scope)
        for s, scope in _walk(tree)
        for found in [_from(s, len(wanted), tree)]
        if [ast.dump(one) for one in found] == wanted
    ]


def _from(statement: ast.stmt, count: int, tree: ast.Module) -> tuple[ast.stmt, ...]:
    """A statement and those below it in its block, ``count`` in all."""
    if count == 1:
        return (statement,)
    blocks = [block for n in ast.walk(tree) for _, block in ast.iter_fields(n) if isinstance(block, list)]
    block = next(block for block in blocks if any(one is statement for one in block))
    at = next(i for i, one in enumerate(block) if one is statement)
    return tuple(block[at : at + count])


def _walk(scope: Scope) -> Iterator[tuple[ast.stmt, Scope]]:
    """Every statement with the scope of its names, in the order of the text; of a class its methods only."""
    waiting: list[tuple[ast.AST, Scope]] = [(node, scope) for node in scope.body]
    while waiting:
        node, home = waiting.pop(0)
        if isinstance(node, ast.stmt):
            yield node, home
        inner: Scope = node if isinstance(node, Function) else home
        if isinstance(node, ast.ClassDef):
            waiting[:0] = [(method, home) for method in node.body if isinstance(method, Function)]
        elif not isinstance(node, ast.expr):
            waiting[:0] = [(child, inner) for child in ast.iter_child_nodes(node)]


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement itself makes."""
    if isinstance(statement, Function):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    targets: Sequence[ast.expr] = ()
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    return {
        ast.unparse(node)
        for target in targets
        for node in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
        if isinstance(node, ast.Name | ast.Attribute)
    }


def _calls(statement: ast.stmt, maker: str) -> bool:
    """Whether what a statement makes comes of a call of this name."""
    value = getattr(statement, "value", None)
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == maker


def _method(statement: ast.stmt) -> tuple[str, list[str]]:
    """Of a statement that is nothing but a method's call, the method and what it is called of and with."""
    call = getattr(statement, "value", None)
    if not isinstance(statement, ast.Expr | ast.Assign) or not isinstance(call, ast.Call):
        return "", []
    if not isinstance(call.func, ast.Attribute):
        return "", []
    return call.func.attr, [ast.unparse(node) for node in (call.func.value, *call.args)]


def _trains(statement: ast.stmt) -> bool:
    """Whether a statement is a backward or a step."""
    return _method(statement)[0] in ("backward", "step")


def _steps(statement: ast.stmt, name: str) -> bool:
    """Whether a statement is a step of this optimiser: ``optimizer.step(…)`` or ``scaler.step(optimizer)``."""
    method, words = _method(statement)
    return method == "step" and name in words


def _optimises(statement: ast.stmt, name: str) -> bool:
    """Whether a statement makes something of this model's parameters, as an optimiser is made."""
    wanted = {f"{name}.parameters", f"{name}.named_parameters"}
    return isinstance(statement, ast.Assign) and any(
        isinstance(node, ast.Attribute) and ast.unparse(node) in wanted for node in ast.walk(statement.value)
    )


def _parted(body: str) -> tuple[list[str], str]:
    """The snippet's imports at its own top level, and the rest."""
    lines = body.splitlines()
    nodes = [node for node in ast.parse(body).body if isinstance(node, ast.Import | ast.ImportFrom)]
    numbers = {number for node in nodes for number in range(node.lineno - 1, node.end_lineno or node.lineno)}
    return [lines[i] for i in sorted(numbers)], "\n".join(line for i, line in enumerate(lines) if i not in numbers)


def _first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(mark.lineno for mark in decorators)])


def _alone(statement: ast.stmt, lines: Sequence[str]) -> None:
    """Raise where a statement shares its line with another one."""
    before = lines[statement.lineno - 1][: statement.col_offset]
    last = (statement.end_lineno or statement.lineno) - 1
    after = lines[last].encode()[statement.end_col_offset or 0 :].decode().split("#")[0]
    if before.strip() or after.strip():
        raise NoPlace(f"line {statement.lineno} holds more than the one statement")


def _below_the_head(tree: ast.Module) -> int:
    """The number of lines that an import must stay below: the docstring and what comes from __future__."""
    line = 0
    for position, node in enumerate(tree.body):
        docstring = position == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (docstring or future):
            break
        line = node.end_lineno or node.lineno
    return line
