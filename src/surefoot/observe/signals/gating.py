"""Layers with gates over a grid: their sum over paths from one corner, its fall with distance, and the local bound."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surefoot.observe.signals.kinds_of_layer import HookedKind

SAMPLES = 2  # of a batch, whose gates are read
PLACES = 4096  # grids with more are left out: a look should stay cheap


class Gating(HookedKind):
    """Reads the gates of ``surefoot.nn.plstm`` layers, from the input that a forward hook sees."""

    name = "gating"
    home = "surefoot.nn.plstm.layers"
    signals = ("gating_gain", "gating_exponent", "gating_column_sum")

    def kinds(self) -> tuple[type, ...]:
        """Layers over a grid."""
        from surefoot.nn.plstm.layers import PLSTM2d

        return (PLSTM2d,)

    def read(self, place: int, module: Any, before: Tensor, after: Any) -> None:
        """The worst of the samples' grids."""
        x = before
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
            self.numbers[place] = (numbers[:, 0].amax(), numbers[:, 1].gather(0, worst[None])[0], numbers[:, 2].amax())
