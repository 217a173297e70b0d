"""Random generators that a script seeds in each round of its training loop, as its text says.

It is read once, of the file that is run, and nothing is run for it. That a loop seeds is no fault by itself (samples to
look at are drawn alike each time): it explains a batch that is made anew at every step and is the same every time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# where they are given a seed
_SEEDING = frozenset({"manual_seed", "default_rng", "RandomState", "Random", "seed", "set_seed", "seed_everything"})
_Loop = ast.For | ast.While
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def seeds_each_step(source: str) -> int | None:
    """The line of the first call that seeds a generator in a round of the innermost loop that goes backward (where none
    does, as of ``torch.func``: that steps), with what that loop does not change; in the loop's own body or in a
    function of the script's that it calls. None where there is none, or the text is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    functions: dict[str, list[_Function]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            functions.setdefault(node.name, []).append(node)
    loops = [node for node in ast.walk(tree) if isinstance(node, _Loop)]
    backward = _that_call("backward", loops, functions) or _that_call("step", loops, functions)
    for loop in loops:
        if id(loop) not in backward or any(id(n) in backward for n in _reached(loop, functions) if n is not loop):
            continue
        changes = _changes(loop)
        for call in _calls(loop, functions):
            given = [*call.args, *(word.value for word in call.keywords)]
            names = {n.id for argument in given for n in ast.walk(argument) if isinstance(n, ast.Name)}
            if _seeds(call) and given and not names & changes:
                return call.lineno
    return None


def _that_call(name: str, loops: list[_Loop], functions: dict[str, list[_Function]]) -> set[int]:
    return {id(loop) for loop in loops if any(_called(call) == name for call in _calls(loop, functions))}


def _changes(loop: _Loop) -> set[str]:
    """Names that a round may give another value: all that are set in it, but for those set to a constant."""
    constant = [n for n in ast.walk(loop) if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)]
    same = {id(target) for assignment in constant for target in assignment.targets}
    names = (n for n in ast.walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return {n.id for n in names if id(n) not in same}


def _reached(loop: _Loop, functions: dict[str, list[_Function]]) -> Iterator[ast.AST]:
    """All nodes of a round: of the loop's body, and of the functions that are called in it, each once."""
    waiting: list[ast.AST] = list(loop.body)
    seen: set[int] = set()
    while waiting:
        for node in ast.walk(waiting.pop()):
            yield node
            if isinstance(node, ast.Call):
                new = [f for f in functions.get(_called(node), ()) if id(f) not in seen]
                seen.update(map(id, new))
                waiting += new


def _calls(loop: _Loop, functions: dict[str, list[_Function]]) -> Iterator[ast.Call]:
    return (node for node in _reached(loop, functions) if isinstance(node, ast.Call))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _seeds(call: ast.Call) -> bool:
    return _called(call) in _SEEDING
