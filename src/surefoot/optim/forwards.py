"""The forward passes that a script made since the last step: what to probe the next one with."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from surefoot.autodiff.jvp import random_state
from surefoot.optim.step_report import Call

_MOST = 16  # passes between two steps (gradient accumulation); older ones are let go


@dataclass
class Forward:
    """A forward pass: its inputs, where it drew its dropout masks from, and what came out, as far as it is needed."""

    call: Call
    random_state: Mapping[str, Any] | None = None
    output: Any = None


class Forwards:
    """Remembers a model's forward passes with gradients, by reference, until they are taken.

    Parameters
    ----------
    model : gets hooks that do nothing once this object is gone
    with_random_state : remember the state of the generators each pass began with
    with_output : remember what each pass returned, unless autocast was on
    """

    def __init__(self, model: nn.Module, *, with_random_state: bool = False, with_output: bool = False) -> None:
        self._model = weakref.ref(model)
        self._with_random_state = with_random_state
        self._passes: list[Forward] = []
        self.paused = False
        hooks = _Hooks(self)
        model.register_forward_pre_hook(hooks.before, with_kwargs=True)
        if with_output:
            model.register_forward_hook(hooks.after)

    def take(self) -> list[Forward]:
        """The passes since the last call; they are forgotten here."""
        passes, self._passes = self._passes, []
        return passes

    def wants(self, module: nn.Module) -> bool:
        """Whether a pass is one of the script's own that trains."""
        return not self.paused and torch.is_grad_enabled() and module is self._model()

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A pass begins."""
        self._passes.append(Forward(Call(args, kwargs), random_state(module) if self._with_random_state else None))
        del self._passes[:-_MOST]

    def end(self, module: nn.Module, output: Any) -> None:
        """A pass ends."""
        if self._passes and not torch.is_autocast_enabled(next(module.parameters()).device.type):
            self._passes[-1].output = output


class _Hooks:
    """What hangs on the model: it keeps nobody alive, and is no burden when the model is copied or saved."""

    def __init__(self, forwards: Forwards | None) -> None:
        self._forwards = None if forwards is None else weakref.ref(forwards)

    def __deepcopy__(self, memo: Any) -> _Hooks:
        return _Hooks(None)

    def __reduce__(self) -> Any:
        return _Hooks, (None,)

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook."""
        forwards = self._forwards and self._forwards()
        if forwards and forwards.wants(module):
            forwards.begin(module, args, kwargs)

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Forward hook."""
        forwards = self._forwards and self._forwards()
        if forwards and forwards.wants(module):
            forwards.end(module, output)
