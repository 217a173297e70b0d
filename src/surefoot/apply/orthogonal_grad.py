"""``orthogonal-grad``: before each step, gradients lose their part along the weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, parameters_of
from surefoot.optim.orthogonal_grad import orthogonalize_gradients


class OrthogonalGradients(Cure):
    """Projects with :func:`surefoot.optim.orthogonalize_gradients`; tensors of one element keep their gradient."""

    id = "orthogonal-grad"

    def __init__(self, desk: Desk, restore_norm: bool, scope: Literal["tensor", "global"]) -> None:
        super().__init__(desk)
        self.restore_norm = restore_norm
        self.scope: Literal["tensor", "global"] = scope
        self._removed: torch.Tensor | None = None  # summed where it is: nothing waits for a device

    def at_gradients(self, optimizer: Optimizer) -> None:
        """Project."""
        parameters = [p for p in parameters_of(optimizer) if p.numel() > 1]
        if not parameters:
            return
        removed = orthogonalize_gradients(parameters, self.restore_norm, self.scope)
        self._removed = removed if self._removed is None else self._removed.to(removed.device) + removed
        self.act()

    def summary(self) -> str:
        """How much of the gradient."""
        share = 0.0 if self._removed is None else float(self._removed) / max(1, self.acted)
        return f"took {share:.2%} out of the squared gradient on average, over {self.acted:,} steps"
