"""Slopes that a script's own ``autograd.Function`` puts in the place of a derivative: surrogates of steps, mostly.

What such a function gives back over what it got is its slope, entry by entry, whatever it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.optim import Optimizer

from surefoot.observe.attention_sites import feeder
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.nodes import Node

_NODES = 64  # read in one look: the newest, which for a loop over time are its last steps
_MOST = 1 << 16  # numbers of one node
_FEWEST = 64  # of a layer's entries that get a gradient


class Slopes(Instrument):
    """Reads among which share of its entries such a function spreads the gradient: (Σ φ)²/(n Σ φ²), φ the slopes."""

    name = "slopes"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._sums: dict[str, Tensor] = {}

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Listen to the backward of such functions."""
        self.withdraw()
        self._sums = {}
        if self.tools.scene.checkpointing:
            return
        own: list[Node] = [
            node for node in view.nodes if isinstance(node, BackwardCFunction) and not _of_a_library(node)
        ]
        for node in own[-_NODES:]:
            parameter = feeder(node)
            owned = None if parameter is None else self.tools.scene.models.find(parameter)
            name = node.name().removesuffix("Backward") if owned is None else owned.layer.name
            self._handles.append(node.register_hook(self._hook(name)))

    def _hook(self, name: str) -> Any:
        def hook(inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
            self.tools.guard(self.name, self._take, name, inputs, outputs)

        return hook

    def _take(self, name: str, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        if len(outputs) != 1 or not isinstance(outputs[0], Tensor) or self.tools.scene.borrowing:
            return
        got = outputs[0]
        gave = next((t for t in inputs if isinstance(t, Tensor)), None)
        if gave is None or gave.shape != got.shape or not got.is_floating_point():
            return
        from surefoot.analysis.surrogates import slope_sums

        with torch.no_grad():
            sums = slope_sums(got.detach().reshape(-1)[:_MOST], gave.detach().reshape(-1)[:_MOST])
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def withdraw(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write one value a layer in front of such functions."""
        self.withdraw()
        sums, self._sums = self._sums, {}
        if not sums:
            return
        step, rows = self.tools.scene.clock.steps, self.tools.rows

        from surefoot.analysis.surrogates import spread_share

        def write(found: list[np.ndarray]) -> None:
            for name, (entries, first, second) in zip(sums, found, strict=True):
                if entries >= _FEWEST:
                    rows.put(step, self.name, name, slope_share=float(spread_share(entries, first, second)))

        self.tools.ask(step, list(sums.values()), write)


def _of_a_library(node: Node) -> bool:
    """A function of surefoot's own layers, which are read as such, or of PyTorch: a hook on a compiled graph would have
    it compiled anew."""
    return str(getattr(node._forward_cls, "__module__", "")).startswith(("surefoot.", "torch."))
