"""Gates of a recurrence that a script wrote itself, in which a state is a gated sum of several earlier ones.

Seen in the graph: a sum of products, of which two at least are a sigmoid's result times an earlier such sum. Along one
chain of states gates of at most 1 let nothing grow; on a grid the paths between two states are many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.attention_sites import feeder
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.signals.grid_paths import gain_over_paths

_FEWEST = 4  # states that are sums of several others


class GridGates(Instrument):
    """Reads the sum over paths of the products of such gates, from the first state on."""

    name = "gates of a grid"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: tuple[str, Tensor, int] | None = None

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Find the states and read their gates."""
        self._read = None
        if self.tools.scene.checkpointing or not any(n.name() == "SigmoidBackward0" for n in view.nodes):
            return
        found = gain_over_paths(view.nodes, _FEWEST)
        parameter = feeder(found[0]) if found is not None else None
        owned = None if parameter is None else self.tools.scene.models.find(parameter)
        if found is not None and owned is not None:
            self._read = owned.layer.name, *found[1:]

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write it as that of the layer that makes the gates."""
        if self._read is None:
            return
        (where, gain, cells), self._read = self._read, None
        names = self.tools.scene.layer_names()
        step, at = self.tools.scene.clock.steps, names.index(where)

        def write(found: list[np.ndarray]) -> None:
            values = {signal: np.full(len(names), np.nan) for signal in ("gating_gain", "gating_exponent")}
            values["gating_gain"][at] = float(found[0])
            values["gating_exponent"][at] = -math.log(max(float(found[0]), 1e-30)) / math.log(cells)
            self.tools.rows.put_layers(step, "gating", **values)

        self.tools.ask(step, [gain], write)
