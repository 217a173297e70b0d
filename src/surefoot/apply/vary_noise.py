"""``vary-noise``: a generator whose samples are made of one and the same row of noise gets a row for each.

What is the same for all of a batch makes one sample, whatever the weights are. The rows are drawn from a generator of
their own: uniform where the script's row lies in [0, 1], else normal.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure
from surefoot.observe.hook import Hook

_LEAST = 4  # numbers of a row that can be noise


class VaryNoise(ModelCure):
    """Draws inputs of rows that are all the same, in training and evaluation."""

    id = "vary-noise"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._generator = torch.Generator()
        self._handles: list[Any] = []

    def met(self, model: nn.Module) -> None:
        """Look at what it is given."""
        if not self._handles:
            self._generator.manual_seed(torch.initial_seed() % (1 << 63))
        self._handles.append(model.register_forward_pre_hook(Hook(self._given)))

    def _given(self, model: nn.Module, args: Any) -> Any:
        if torch.compiler.is_compiling() or not args or not isinstance(args[0], Tensor):
            return None
        noise = args[0]
        plain = noise.grad_fn is None and not noise.requires_grad and noise.is_floating_point()
        if not plain or noise.dim() < 2 or len(noise) < 2 or noise[0].numel() < _LEAST:
            return None
        if not bool((noise == noise[:1]).all()) or bool((noise[0] == noise[0].flatten()[0]).all()):
            return None
        draw = torch.rand if bool(((noise[0] >= 0) & (noise[0] <= 1)).all()) else torch.randn
        self.act()
        drawn = draw(noise.shape, generator=self._generator, dtype=noise.dtype).to(noise.device)
        return (drawn, *args[1:])

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for handle in self._handles:
            handle.remove()
        if not self.acted:
            self.note("no model was given a batch whose rows are all the same; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"drew a row of noise for each sample of {self.acted:,} batches"
