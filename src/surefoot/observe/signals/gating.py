"""Layers with gates over a grid: their sum over paths from one corner, its fall with distance, and the local bound."""

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

SAMPLES = 2  # of a batch, whose gates are read
PLACES = 4096  # grids with more are left out: a look should stay cheap


class Gating(Instrument):
    """Reads ``gating_gain``, ``gating_exponent`` and ``gating_column_sum`` of ``surefoot.nn.plstm`` layers, from the
    input that a forward hook sees."""

    name = "gating"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._numbers: dict[int, tuple[Tensor, ...]] = {}
        self._thread = threading.get_ident()

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Put hooks on such layers, where the script has any."""
        self.withdraw()
        self._numbers = {}
        if "surefoot.nn.plstm.layers" not in sys.modules:
            return
        from surefoot.nn.plstm.layers import PLSTM2d

        inside = {id(module) for root in roots for module in root.modules()}
        for place, layer in enumerate(self.tools.scene.models.layers):
            module = None if layer.module is None else layer.module()
            if isinstance(module, PLSTM2d) and id(module) in inside:
                self._handles.append(module.register_forward_hook(self._hook(place)))

    def _hook(self, place: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if place not in self._numbers and args and trains(self._thread):
                self.tools.guard(self.name, self._read, place, module, args[0])

        return hook

    def _read(self, place: int, module: Any, x: Tensor) -> None:
        if x.shape[1] * x.shape[2] > PLACES or x.shape[1] * x.shape[2] < 2:
            return
        from surefoot.analysis.gating import grid_gain

        with torch.no_grad():
            found = [
                torch.stack(grid_gain(gates, x.shape[1], x.shape[2], module.cells.heads))
                for gates in module.grid_gates(x[:SAMPLES].detach())
            ]
            numbers = torch.stack(found)
            worst = numbers[:, 0].argmax()
            self._numbers[place] = (numbers[:, 0].amax(), numbers[:, 1].gather(0, worst[None])[0], numbers[:, 2].amax())

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
            gain, exponent, column_sum = values
            self.tools.rows.put_layers(
                step, "gating", gating_gain=gain, gating_exponent=exponent, gating_column_sum=column_sum
            )

        self.tools.ask(step, [number for numbers in self._numbers.values() for number in numbers], write)
        self._numbers = {}
