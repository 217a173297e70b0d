"""Layers with 1-bit weights: how far their surrogate is from sign, how uneven its slope is, and what is frozen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools


class Surrogates(Instrument):
    """Reads ``surrogate_error``, ``surrogate_unevenness`` and ``surrogate_frozen`` of ``surefoot.nn.binary`` layers,
    before the step: they are those of the weights that the forward used."""

    name = "surrogates"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._places: list[int] = []
        self._numbers: list[Tensor] = []

    def withdraw(self) -> None:
        """Keep nothing of a look that is over."""
        self._places, self._numbers = [], []

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Read the weights, where the script has such layers at all."""
        if "surefoot.nn.binary.layers" not in sys.modules:
            return
        from surefoot.analysis.surrogates import layer_surrogate
        from surefoot.nn.binary.layers import BinaryLayer

        self.withdraw()
        for place, layer in enumerate(self.tools.scene.models.layers):
            module = None if layer.module is None else layer.module()
            if isinstance(module, BinaryLayer):
                self._places.append(place)
                self._numbers += layer_surrogate(module)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write what was read."""
        if not self._places:
            return
        places, step = self._places, self.tools.scene.clock.steps
        values = np.full((3, len(self.tools.scene.models.layers)), np.nan)

        def write(found: list[np.ndarray]) -> None:
            values[:, places] = np.array(found, dtype=np.float64).reshape(-1, 3).T
            error, unevenness, frozen = values
            self.tools.rows.put_layers(
                step, "surrogates", surrogate_error=error, surrogate_unevenness=unevenness, surrogate_frozen=frozen
            )

        self.tools.ask(step, self._numbers, write)
        self.withdraw()
