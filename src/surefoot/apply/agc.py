"""``agc``: adaptive gradient clipping before each step."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, gradient_scale, parameters_of
from surefoot.optim.adaptive_clipping import adaptive_clip_grad_


class AdaptiveGradientClipping(Cure):
    """Clips with :func:`surefoot.optim.adaptive_clip_grad_`."""

    id = "agc"

    def __init__(self, desk: Desk, clip: float, eps: float) -> None:
        super().__init__(desk)
        self.clip, self.eps = clip, eps
        self._clipped: torch.Tensor | None = None  # units, summed where they are: nothing waits for a device

    def at_gradients(self, optimizer: Optimizer) -> None:
        """Clip."""
        parameters = parameters_of(optimizer)
        if not parameters:
            return
        clipped = adaptive_clip_grad_(parameters, self.clip * gradient_scale(optimizer), self.eps)
        self._clipped = clipped if self._clipped is None else self._clipped.to(clipped.device) + clipped
        self.act()

    def summary(self) -> str:
        """How much of the gradient."""
        units = 0 if self._clipped is None else int(self._clipped)
        return f"clipped {units / max(1, self.acted):,.3g} units a step, over {self.acted:,} steps"
