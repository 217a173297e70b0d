"""Layers with 1-bit weights: how far their surrogate is from sign, how uneven its slope is, and what is frozen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from surefoot.observe.graph import GraphView
from surefoot.observe.signals.kinds_of_layer import KindOfLayer


class Surrogates(KindOfLayer):
    """Reads ``surefoot.nn.binary`` layers before the step: their weights are those that the forward used."""

    name = "surrogates"
    home = "surefoot.nn.binary.layers"
    signals = ("surrogate_error", "surrogate_unevenness", "surrogate_frozen")

    def kinds(self) -> tuple[type, ...]:
        """Layers with 1-bit weights."""
        from surefoot.nn.binary.layers import BinaryLayer

        return (BinaryLayer,)

    def withdraw(self) -> None:
        """Keep nothing of a look that is over."""
        self.numbers = {}

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Read the weights."""
        found = list(self.layers())
        if found:
            from surefoot.analysis.surrogates import layer_surrogate

            self.numbers = {place: layer_surrogate(module) for place, module in found}
