"""Layers without parameters that learn from the rows they see in training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class OfTrainingRows(nn.Module):
    """Features in one dimension, rows in all others; in evaluation mode, and where gradients are off, none is taken."""

    def __init__(self, num_features: int, dim: int) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features is {num_features}; it must be 1 or more")
        self.num_features, self.dim = num_features, dim

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if inputs.shape[self.dim] != self.num_features:
            raise ValueError(
                f"inputs have {inputs.shape[self.dim]} features in dimension {self.dim}; it was made for "
                f"{self.num_features}"
            )
        rows = inputs.movedim(self.dim, -1)
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                self._take(rows.reshape(-1, self.num_features))
        return self._of(rows).movedim(-1, self.dim)

    def _take(self, rows: Tensor) -> None:
        """Learn from rows, ``(rows, num_features)``."""
        raise NotImplementedError

    def _of(self, rows: Tensor) -> Tensor:
        """What rows ``(*, num_features)`` become."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.num_features}, dim={self.dim}"
