"""``stablemax``: in training, a cross-entropy has StableMax in the place of softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cross_entropy import CrossEntropyCure
from surefoot.losses.stablemax import stablemax_cross_entropy


class StableMax(CrossEntropyCure):
    """Calls :func:`surefoot.losses.stablemax_cross_entropy`."""

    id = "stablemax"

    def cross_entropy(self, logits: Tensor, targets: Tensor, loss: Callable[[], Tensor], how: dict[str, Any]) -> Any:
        """The other loss. Under autocast it is taken in float32, as torch's own is."""
        if torch.compiler.is_compiling() and (targets.is_floating_point() or how.get("label_smoothing")):
            return loss()  # the part would call torch's function by its name, which is what stands in its place
        how = dict(how)
        weight = how.pop("weight", None)
        if torch.is_autocast_enabled(logits.device.type):
            how["compute_dtype"] = torch.promote_types(logits.dtype, torch.float32)
        if logits.dim() == 1:  # one sample without a batch dimension
            value = stablemax_cross_entropy(logits.unsqueeze(0), targets.unsqueeze(0), weight, **how).squeeze()
        else:
            value = stablemax_cross_entropy(logits, targets, weight, **how)
        self.act()
        return value

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted and not self.compiled:
            self.note("the script's training made no call of cross_entropy; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took StableMax in the place of softmax in {self.acted:,} losses{self.in_compiled_code}"
