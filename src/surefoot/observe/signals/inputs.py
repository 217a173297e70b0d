"""Inputs as the first layers get them: their scale over all and by feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.samples import input_scale, preactivation_scale
from surefoot.observe.clock import OptimizerState
from surefoot.observe.data_sites import DataSite, find_data, find_mixed
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools

SIGNALS = ("input_mean", "input_rms", "input_max", "feature_spread", "preactivation_scale", "input_variation")


class Inputs(Instrument):
    """Reads what enters each layer that data enter, from what its op saved for the backward."""

    name: ClassVar[str] = "inputs"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: dict[str, list[Tensor]] = {}

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Take the statistics of what is saved in the graph."""
        self._read = {} if self.tools.scene.checkpointing else self._statistics(view)

    def at_odd_loss(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """The batch whose loss is odd: its inputs may be, too."""
        if not self.tools.scene.checkpointing:
            self._write(self.tools.step, self._statistics(view))

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write what was read."""
        read, self._read = self._read, {}
        self._write(self.tools.scene.clock.steps, read)

    def _statistics(self, view: GraphView) -> dict[str, list[Tensor]]:
        read: dict[str, list[Tensor]] = {}
        for site in find_data(view):
            owned = self.tools.scene.models.find(site.weight)
            if owned is not None and owned.layer.name not in read and site.data.is_floating_point():
                read[owned.layer.name] = _numbers(site)
        for weight, data in find_mixed(view):
            owned = self.tools.scene.models.find(weight)
            if owned is not None and owned.layer.name not in read and data.is_floating_point():
                # not of data alone: its size tells an odd batch, and nothing of how the data are scaled
                size = input_scale(data, -1).rms
                unknown = size.new_full((), float("nan"))
                read[owned.layer.name] = [size if name == "input_rms" else unknown for name in SIGNALS]
        return read

    def _write(self, step: int, read: dict[str, list[Tensor]]) -> None:
        for layer, numbers in read.items():

            def write(found: list[np.ndarray], layer: str = layer) -> None:
                values = dict(zip(SIGNALS, map(float, found), strict=True))
                self.tools.rows.put(step, "inputs", layer, **values)

            self.tools.ask(step, numbers, write)


def _numbers(site: DataSite) -> list[Tensor]:
    """In the order of SIGNALS; no scale of pre-activations where a normalisation takes it out again."""
    scale = input_scale(site.data, site.feature_dim)
    weight = site.weight.detach()
    weight = weight.t() if site.features_first else weight
    if site.normalises or weight.dim() < 2:
        made = scale.rms.new_full((), float("nan"))
    else:
        made = preactivation_scale(scale.second_moments, weight)
    return [scale.mean, scale.rms, scale.largest, scale.spread, made, scale.variation]
