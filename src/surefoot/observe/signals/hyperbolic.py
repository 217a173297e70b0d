"""Layers on the Poincaré ball: norms of their vectors, what each layer does to them, how many are at the rim."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surefoot.observe.signals.kinds_of_layer import HookedKind


class Hyperbolic(HookedKind):
    """Reads ``surefoot.nn.hyperbolic`` layers, from what a forward hook sees."""

    name = "hyperbolic"
    home = "surefoot.nn.hyperbolic.layers"
    signals = ("hyperbolic_norm", "hyperbolic_factor", "hyperbolic_rim_share")

    def kinds(self) -> tuple[type, ...]:
        """Layers whose factor is known."""
        from surefoot.analysis.hyperbolic import LAYERS

        return tuple(LAYERS)

    def read(self, place: int, module: Any, before: Tensor, after: Any) -> None:
        """What the layer does to its vectors."""
        from surefoot.analysis.hyperbolic import layer_transport

        with torch.no_grad():
            self.numbers[place] = layer_transport(module, before.detach(), after.detach())
