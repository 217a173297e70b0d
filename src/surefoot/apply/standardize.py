"""``standardize``: inputs that a first layer gets far too large, too small or too uneven come to mean 0 and variance 1.

Layers that make of their inputs pre-activations of order one are left alone (all are meant with ``factor=1``).
"""

from __future__ import annotations

import torch
from torch import nn

from surefoot.analysis.samples import input_scale, preactivation_scale
from surefoot.apply.cure import Desk
from surefoot.apply.first_layers import FirstLayers
from surefoot.nn.standardize import RunningStandardize
from surefoot.observe.data_sites import DataSite

_UNEVEN, _FAR_OFF = 100.0, 1 / 32  # as the rule `unscaled-inputs` has them, of a run that learned nothing for long


class Standardize(FirstLayers):
    """Puts a :class:`surefoot.nn.RunningStandardize` in front of such layers."""

    id = "standardize"

    def __init__(self, desk: Desk, factor: float) -> None:
        super().__init__(desk)
        self.factor = factor

    def door(self, site: DataSite) -> tuple[nn.Module, str] | None:
        """One for a layer whose pre-activations are off."""
        scale = input_scale(site.data, site.feature_dim)
        size = float(preactivation_scale(scale.second_moments, site.weight.detach()))
        far = float(scale.spread) >= _UNEVEN or 0 < float(scale.variation) <= _FAR_OFF
        if size == 0 or (1 / self.factor < size < self.factor and not far):
            return None
        features = site.data.shape[site.feature_dim]
        norm = RunningStandardize(features, site.feature_dim, site.data.device, torch.float32)
        return norm, f"pre-activations of size {size:.2g}"

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        super().at_close()
        if not self._done and not self.noted:
            self.note("no first layer was met whose inputs are far from size one; nothing was changed")

    def summary(self) -> str:
        """Where."""
        return f"standardised the inputs of {', '.join(self._done)}" if self._done else "standardised no inputs"
