"""``same-unit``: samples that come in another unit than the first ones are brought to it."""

from __future__ import annotations

import torch
from torch import nn

from surefoot.apply.cure import Desk
from surefoot.apply.first_layers import FirstLayers
from surefoot.nn.same_unit import SameUnit
from surefoot.observe.data_sites import DataSite


class OneUnit(FirstLayers):
    """Puts :class:`surefoot.nn.SameUnit` in front of each first layer."""

    id = "same-unit"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._parts: list[SameUnit] = []

    def door(self, site: DataSite) -> tuple[nn.Module, str] | None:
        """For every layer: another unit may come later."""
        features = site.data.shape[site.feature_dim]
        part = SameUnit(features, site.feature_dim, site.data.device, torch.float32)
        self._parts.append(part)
        return part, f"{features} features"

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        super().at_close()
        if not self.noted and not any(float(part.second.count) for part in self._parts):
            self.note("no inputs ten deviations from the first ones were met; nothing was changed")

    def summary(self) -> str:
        """How many, and where."""
        rows = sum(int(part.second.count) for part in self._parts)
        return f"brought {rows:,} rows to the unit of the first, in front of {', '.join(self._done)}"
