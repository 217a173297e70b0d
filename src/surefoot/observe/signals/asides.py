"""Calls of layers that get no gradient, between looks: whether what is cut off from the loss is in use after all.

A look sees one step. A part that runs beside the steps alone (an index that is made anew now and then, an evaluation)
is not seen to run in any of them, and looks like one that the script has done with.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.compiled import anything_compiled
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.signals.gradients import parameters_of

_ENOUGH = 3  # looks between which a layer was called


class Asides(Instrument):
    """Counts the calls without a graph of layers that an optimiser holds and steps without, though they had a gradient,
    until three looks have told of some; −1 where a call was with a graph, after which nothing more is asked."""

    name: ClassVar[str] = "calls beside the steps"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: dict[str, Any] = {}  # by layer
        self._counts: dict[str, int] = {}
        self._told: dict[str, int] = {}  # looks that have told of calls
        self._had: set[str] = set()  # layers that have had a gradient at some look
        self._without: set[str] = set()  # and have none at the step under way
        self._home = threading.get_ident()

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """Find the layers of the optimiser of which no trainable parameter has a gradient. Several take turns: then
        that tells nothing."""
        models = self.tools.scene.models
        found: dict[str, bool] = {}
        for parameter in parameters_of(optimizer) if len(self.tools.scene.clock.states) == 1 else ():
            owned = models.find(parameter) if parameter.requires_grad else None
            if owned is not None:
                found[owned.layer.name] = found.get(owned.layer.name, True) and parameter.grad is None
        self._had.update(name for name, none in found.items() if not none)
        self._without = {name for name, none in found.items() if none} & self._had

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write how often they were called since the last look, and count on."""
        layers = self.tools.scene.models.layers
        if self._counts:
            calls = np.array([self._counts.get(layer.name, np.nan) for layer in layers], dtype=np.float64)
            self.tools.rows.put_layers(self.tools.scene.clock.steps, "asides", aside_calls=calls)
        for name, count in self._counts.items():
            self._told[name] = _ENOUGH if count < 0 else self._told.get(name, 0) + (count > 0)
        for name in set(self._told) - self._without:
            del self._told[name]  # it has a gradient again
        wanted = {name for name in self._without if self._told.get(name, 0) < _ENOUGH}
        for name in set(self._handles) - wanted:
            self._handles.pop(name).remove()
            del self._counts[name]
        for layer in layers:
            module = None if layer.module is None else layer.module()
            if module is None or layer.name not in wanted or layer.name in self._handles:
                continue
            if not isinstance(module, torch.jit.ScriptModule) and not anything_compiled():
                self._handles[layer.name] = module.register_forward_pre_hook(Hook(self._counter(layer.name)))
                self._counts[layer.name] = 0
        self._counts = dict.fromkeys(self._counts, 0)

    def at_close(self) -> None:
        """Leave nothing behind."""
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()
        self._counts.clear()

    def _counter(self, name: str) -> Any:
        def before(module: nn.Module, args: Any) -> None:
            if torch.compiler.is_compiling():
                return
            if name in self._counts and threading.get_ident() == self._home:
                # once with a graph is enough: it may well have had a gradient since
                alone = not torch.is_grad_enabled() and self._counts[name] >= 0
                self._counts[name] = self._counts[name] + 1 if alone else -1

        return before
