"""``train-mode``: a model that trains in evaluation mode, since an evaluation left it there, goes back.

Whether a forward in evaluation mode is one of training is seen by two things: gradients are on, and the model has been
evaluated without them since it went into that mode. Where a script evaluates with gradients on, its next step puts the
model back.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.apply.cure import Desk, ModelCure
from surefoot.observe.hook import Hook


@dataclass(slots=True)
class _Mode:
    """Which modules train in training mode, as the first training forward had them, and what was seen since."""

    modules: list[tuple[nn.Module, bool]] = field(default_factory=list)
    evaluated: bool = False
    trained: bool = False


class TrainMode(ModelCure):
    """Sets ``training`` of each module to what it was when the model first trained: what is frozen on purpose stays."""

    id = "train-mode"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._modes: weakref.WeakKeyDictionary[nn.Module, _Mode] = weakref.WeakKeyDictionary()
        self._handles: list[Any] = []

    def met(self, model: nn.Module) -> None:
        """Look at its mode as each forward begins."""
        self._modes[model] = _Mode()
        self._handles.append(model.register_forward_pre_hook(Hook(self._before), prepend=True))

    def _before(self, model: nn.Module, args: Any) -> None:
        mode = self._modes.get(model)
        if mode is None or torch.compiler.is_compiling():
            return
        if model.training:
            mode.evaluated = mode.trained = False
            if not mode.modules and torch.is_grad_enabled():
                mode.modules = [(m, m.training) for m in model.modules()]
        elif not torch.is_grad_enabled():
            mode.evaluated = True
        elif mode.evaluated:
            self._back(model, mode)
        else:
            mode.trained = True

    def after_step(self, optimizer: Optimizer) -> None:
        """A model that has just trained in evaluation mode goes back for the next step."""
        for model, mode in list(self._modes.items()):
            if mode.trained and not model.training:
                held = {id(p) for group in optimizer.param_groups for p in group["params"]}
                if any(id(p) in held for p in model.parameters()):
                    self._back(model, mode)

    def _back(self, model: nn.Module, mode: _Mode) -> None:
        mode.evaluated = mode.trained = False
        for module, training in mode.modules or [(m, True) for m in model.modules()]:
            module.training = training
        self.act()

    def at_close(self) -> None:
        """Leave no hook behind."""
        for handle in self._handles:
            handle.remove()
        self._modes.clear()

    def summary(self) -> str:
        """How often."""
        return f"put a model back into training mode {self.acted:,} times" if self.acted else "changed no mode"
