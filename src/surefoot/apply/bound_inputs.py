"""``bound-inputs``: what enters a network stays within what is usual for each feature.

Few rows with values far beyond all others (a sensor that hangs, a code for "no answer") set how long a step may be, and
the rest learns slowly or not at all. They stay in the data, at the edge of what is usual.
"""

from __future__ import annotations

import torch
from torch import nn

from surefoot.apply.first_layers import FirstLayers
from surefoot.nn.fences import Fences
from surefoot.observe.data_sites import DataSite


class BoundInputs(FirstLayers):
    """Puts :class:`surefoot.nn.Fences` in front of each first layer."""

    id = "bound-inputs"

    def door(self, site: DataSite) -> tuple[nn.Module, str] | None:
        """For every layer: a value that is far out may come later."""
        features = site.data.shape[site.feature_dim]
        fences = Fences(features, site.feature_dim, site.data.device, torch.float32)
        return fences, f"{features} features"

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        super().at_close()
        if not self._done and not self.noted:
            self.note("no layer was met that data enters; nothing was changed")

    def summary(self) -> str:
        """Where."""
        return f"bounded the inputs of {', '.join(self._done)}" if self._done else "bounded no inputs"
