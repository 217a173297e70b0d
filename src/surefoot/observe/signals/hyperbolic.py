"""Layers on the Poincaré ball: norms of their vectors, what each layer does to them, how many are at the rim."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.look import trains


class Hyperbolic(Instrument):
    """Reads ``hyperbolic_norm``, ``hyperbolic_factor`` and ``hyperbolic_rim_share`` of ``surefoot.nn.hyperbolic``
    layers, from what a forward hook sees."""

    name = "hyperbolic"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._numbers: dict[int, tuple[Tensor, ...]] = {}
        self._thread = threading.get_ident()

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Put hooks on such layers, where the script has any."""
        self.withdraw()
        self._numbers = {}
        if "surefoot.nn.hyperbolic.layers" not in sys.modules:
            return
        from surefoot.analysis.hyperbolic import LAYERS

        inside = {id(module) for root in roots for module in root.modules()}
        for place, layer in enumerate(self.tools.scene.models.layers):
            module = None if layer.module is None else layer.module()
            if isinstance(module, LAYERS) and id(module) in inside:
                self._handles.append(module.register_forward_hook(self._hook(place)))

    def _hook(self, place: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if place not in self._numbers and args and trains(self._thread):
                self.tools.guard(self.name, self._read, place, module, args[0], output)

        return hook

    def _read(self, place: int, module: nn.Module, before: Tensor, after: Tensor) -> None:
        from surefoot.analysis.hyperbolic import layer_transport

        with torch.no_grad():
            self._numbers[place] = layer_transport(module, before.detach(), after.detach())

    def withdraw(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write what was read."""
        if not self._numbers:
            return
        places, step = list(self._numbers), self.tools.scene.clock.steps
        values = np.full((3, len(self.tools.scene.models.layers)), np.nan)

        def write(found: list[np.ndarray]) -> None:
            values[:, places] = np.array(found, dtype=np.float64).reshape(-1, 3).T
            norm, factor, rim = values
            self.tools.rows.put_layers(
                step, "hyperbolic", hyperbolic_norm=norm, hyperbolic_factor=factor, hyperbolic_rim_share=rim
            )

        self.tools.ask(step, [number for numbers in self._numbers.values() for number in numbers], write)
        self._numbers = {}
