"""What the script calls its model, its optimiser and its loss function, so that cures can speak with its own words.

Names are looked up once, by identity, in the frames between a call of ours and the script's first line; nothing is
changed and no object is kept. Of two frames that name the same object, the innermost is where the step is taken
(``near``), the outermost is where the object was most likely made (``made``).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from surefoot.observe.discover import unwrap

_NOT_THE_SCRIPTS = ("site-packages", "dist-packages", "<frozen")
_SHARED = frozenset({"locals", "vars", "dir", "eval", "exec", "f_locals"})  # by these a function sees its own names
_FAR = 64  # frames


def own_names(model: nn.Module | None, optimizer: Optimizer | None) -> tuple[dict[str, str], dict[str, str]]:
    """What ``model``, ``optimizer`` and ``loss_fn`` are called where the step is taken, and where they were made.

    Parameters
    ----------
    model, optimizer : whose names are sought; None where there are several

    Returns
    -------
    near, made : by the usual name, the script's; ``self.net`` for an attribute. What was not found is left out, and so
        is a loss function where there are several. Both are empty while a debugger or a tracer looks at the script.
    """
    near: dict[str, str] = {}
    made: dict[str, str] = {}
    if sys.gettrace() is not None:  # it works on the very dictionaries that are cleared below
        return near, made
    for names in _frames():
        found: dict[str, list[str]] = {}
        for name, value in names:
            usual = _role(value, model, optimizer)
            if usual is not None:
                found.setdefault(usual, []).append(name)
        for usual, own in found.items():
            if usual == "loss_fn" and len(own) > 1:
                continue
            best = usual if usual in own else own[0]
            near.setdefault(usual, best)
            made[usual] = best
    return near, made


def _frames() -> Iterator[list[tuple[str, Any]]]:
    """Names and values of each of the script's frames, innermost first; those of ``self`` too."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_FAR):
        if frame is None:
            return
        if _is_the_scripts(frame):
            names = _names_in(frame)
            owner = next((value for name, value in names if name == "self"), None)
            names += [(f"self.{name}", value) for name, value in _attributes(owner) if not name.startswith("_")]
            yield names
        frame = frame.f_back


def _is_the_scripts(frame: FrameType) -> bool:
    home = str(frame.f_globals.get("__name__", ""))
    if home.partition(".")[0] in ("surefoot", "torch", "runpy"):
        return False
    return not any(word in frame.f_code.co_filename for word in _NOT_THE_SCRIPTS)


def _names_in(frame: FrameType) -> list[tuple[str, Any]]:
    """Before Python 3.13 a function's frame keeps the dictionary that it is asked for. One that a script has asked for
    itself, by ``locals()``, is the very same, and must not be touched; any other is emptied again, for with it a step's
    batch and graph would be kept."""
    of_function = bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)
    if of_function and not _SHARED.isdisjoint(frame.f_code.co_names):
        return []
    known = frame.f_locals
    names = [(name, value) for name, value in list(known.items()) if not name.startswith("_")]
    if of_function and type(known) is dict:
        known.clear()
    return names


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    kept = getattr(owner, "__dict__", None)
    if not isinstance(kept, dict):
        return []
    return [*kept.items(), *kept.get("_modules", {}).items()]


def _role(value: Any, model: nn.Module | None, optimizer: Optimizer | None) -> str | None:
    if optimizer is not None and value is optimizer:
        return "optimizer"
    if isinstance(value, nn.modules.loss._Loss):
        return "loss_fn"
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        own = getattr(value, "__module__", "") == "torch.nn.functional" and value.__name__.endswith(_LOSS_WORDS)
        return "loss_fn" if own else None
    if model is not None and isinstance(value, nn.Module) and unwrap(value)[0] is model:
        return "model"
    return None


_LOSS_WORDS = ("_loss", "cross_entropy", "_with_logits")
