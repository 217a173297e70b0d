"""Distances in hyperbolic space, wherever a script computes them: no layer of ours is asked for.

A distance on the ball or the hyperboloid ends in arcosh, or in the artanh of a length, and their nodes keep what they
were taken of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.attention_sites import feeder
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.nodes import Node, saved

_INVERSES = {"AcoshBackward0": torch.acosh, "AtanhBackward0": torch.atanh}
_LENGTHS = ("LinalgVectorNormBackward0", "NormBackward", "SqrtBackward0")
_FAR = 6  # nodes between a length and its artanh
_NODES = 32  # read in one look
_MOST = 1 << 18  # numbers of one node


class Distances(Instrument):
    """Reads the largest hyperbolic distance of the batch, in units of the curvature's radius."""

    name = "distances"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: dict[str, list[Tensor]] = {}

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Read what arcosh and artanh were taken of."""
        self._read = {}
        if self.tools.scene.checkpointing:
            return
        found: list[Any] = [node for node in view.nodes if node.name() in _INVERSES and _is_distance(node)]
        for node in found[-_NODES:]:
            taken = saved(node, "self")
            if taken is None or not taken.numel():
                continue
            parameter = feeder(node)
            owned = None if parameter is None else self.tools.scene.models.find(parameter)
            name = "" if owned is None else owned.layer.name
            distance = _INVERSES[node.name()](taken.reshape(-1)[:_MOST].float())
            self._read.setdefault(name, []).append(distance.amax())

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write one value a layer whose points they are."""
        read, self._read = self._read, {}
        if not read:
            return
        step, rows = self.tools.scene.clock.steps, self.tools.rows

        def write(found: list[np.ndarray]) -> None:
            for name, value in zip(read, map(float, found), strict=True):
                rows.put(step, self.name, name, hyperbolic_distance=value)

        self.tools.ask(step, [torch.stack(values).amax() for values in read.values()], write)


def _is_distance(node: Node) -> bool:
    """Not where an artanh is taken of anything but a length: it also undoes a tanh, or makes a number of a
    correlation."""
    if node.name() == "AcoshBackward0":
        return True
    front = [node]
    for _ in range(_FAR):
        front = [child for n in front for child, _ in n.next_functions if child is not None][:8]
        if any(n.name().startswith(_LENGTHS) for n in front):
            return True
    return False
