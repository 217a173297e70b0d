"""Functions of torch's that a script calls, with something else given to them."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from surefoot.apply.cure import Patch

Arguments = tuple[Tensor, Tensor]


_standing: set[CodeType] = set()  # of what cures have put in the place of functions


def stands_before(wrapper: Any) -> None:
    """Take note of what is in a function's place, so that :func:`caller` looks behind it."""
    code = getattr(wrapper, "__code__", None)
    if code is not None:
        _standing.add(code)


def caller() -> FrameType:
    """Who called the wrapper that asks; cures may stand before each other, and doors before all of them."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code in _standing:
        frame = frame.f_back
    return frame


def by_the_script(frame: FrameType) -> bool:
    """Whether a function of PyTorch's is called by other code than PyTorch's and ours."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] not in ("surefoot", "torch")


def in_a_forward(frame: FrameType | None) -> bool:
    """Whether a module's call is under way."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.nn.modules.module":
            return True
        frame = frame.f_back
    return False


def losses_given(
    names: Sequence[str], guard: Callable[..., Any], change: Callable[[str, Tensor, Tensor], Arguments]
) -> Iterator[Patch]:
    """Patches of loss functions of ``torch.nn.functional``, in training and elsewhere.

    Parameters
    ----------
    names : of the functions
    guard : as :meth:`Cure.patches` gets it
    change : from name, predictions and targets to the predictions and targets that the function is to be given
    """
    for name in names:
        yield F, name, functools.partial(_given, name, guard, change)


def _given(
    name: str, guard: Callable[..., Any], change: Callable[..., Arguments], original: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def loss(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        given = input, target
        if not torch.compiler.is_compiling() and isinstance(input, Tensor) and isinstance(target, Tensor):
            given = guard(change, name, input, target) or given
        return original(*given, *args, **kwargs)

    return loss


def only_computes(file: str, line: int) -> bool:
    """Whether the block or function that begins here gives values to plain names, and calls nothing that works in
    place."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return False
    kinds = ast.With | ast.FunctionDef
    begins = (n for n in ast.walk(tree) if isinstance(n, kinds) and _first_line(n) <= line <= n.body[0].lineno)
    block = max(begins, key=_first_line, default=None)
    if block is None:
        return False
    for statement in block.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if not isinstance(statement, ast.Assign | ast.Return):
            return False
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if not all(isinstance(t, ast.Name | ast.Tuple) for t in targets):
            return False
        called = [n.func for n in ast.walk(statement) if isinstance(n, ast.Call)]
        if any(isinstance(f, ast.Attribute) and f.attr.endswith("_") for f in called):
            return False
    return True


def _first_line(block: ast.With | ast.FunctionDef) -> int:
    return min([block.lineno, *(mark.lineno for mark in getattr(block, "decorator_list", ()))])
