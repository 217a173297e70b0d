"""``float32``: no half precision at all, neither in ``autocast`` nor in weights.

bfloat16 has the range of float32 and 8 bits: what is to be right to a thousandth of its size cannot be told by it.
Where a model is small, half precision saves nothing that would be worth that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.amp.autocast_mode import autocast

from surefoot.apply.bfloat16 import HALF, BFloat16


class Float32(BFloat16):
    """Turns ``autocast`` off, gives models float32 weights, and them and what follows float32 tensors."""

    id = "float32"
    narrow = HALF

    def turn(self, region: autocast) -> None:
        """Let it do nothing."""
        if region._enabled and region.fast_dtype in HALF:
            region._enabled = False
            self.turned += 1
            self.act()

    def region(self, device: str) -> Any:
        """A forward without autocast."""
        return autocast(device, torch.bfloat16, enabled=False)

    def summary(self) -> str:
        """Where."""
        models = f"{self.models_widened:,} models float32 weights{self.of_casts}"
        return f"turned {self.turned:,} autocast regions off, and gave {models}"
