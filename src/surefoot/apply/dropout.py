"""``dropout``: in training, a share of what enters each layer but the first is set to zero at random.

No unit can rely on one other, so that nothing is learned by heart (Srivastava et al. 2014, JMLR 15). It acts in
training only: gradients are on, and the layer is in training mode. Draws come from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure
from surefoot.observe.hook import Hook

_CONVOLUTION = nn.modules.conv._ConvNd
_ENTRANCES = (nn.Linear, _CONVOLUTION, nn.RNNBase, nn.RNNCellBase, nn.Embedding, nn.EmbeddingBag)


class Dropout(ModelCure):
    """Puts forward pre-hooks on linear layers; where there are embeddings and no layer behind them, hooks on those."""

    id = "dropout"

    def __init__(self, desk: Desk, p: float) -> None:
        super().__init__(desk)
        self.p = p
        self._hooks: list[Any] = []
        self._layers = 0
        self._generators: dict[torch.device, torch.Generator] = {}

    def met(self, model: nn.Module) -> None:
        """Put the hooks on."""
        behind = list(_behind_the_first(model))
        for layer in behind:
            self._hooks.append(layer.register_forward_pre_hook(Hook(self._before)))
        tables = [] if behind else [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        for table in tables:
            self._hooks.append(table.register_forward_hook(Hook(self._after)))
        self._layers += len(behind) + len(tables)

    def _before(self, layer: nn.Module, args: Any) -> Any:
        dropped = self._dropped(layer, args[0]) if args else None
        return None if dropped is None else (dropped, *args[1:])

    def _after(self, table: nn.Module, args: Any, output: Any) -> Any:
        return self._dropped(table, output)

    def _dropped(self, layer: nn.Module, x: Any) -> Tensor | None:
        if torch.compiler.is_compiling() or not (layer.training and torch.is_grad_enabled()):
            return None
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return None
        generator = self._generators.get(x.device)
        if generator is None:
            generator = self._generators[x.device] = torch.Generator(x.device).manual_seed(torch.initial_seed())
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.p
        self.act()
        return x * kept / (1 - self.p)

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for hook in self._hooks:
            hook.remove()
        if not self.acted:
            self.note("no layer behind another one was called in training; nothing was changed")

    def summary(self) -> str:
        """Where."""
        return f"dropped {self.p:g} of what enters {self._layers:,} layers, in training"


def _behind_the_first(model: nn.Module) -> Iterator[nn.Module]:
    """Linear layers but the one that data enter: the first, unless another kind of layer comes before it."""
    entered = False
    for module in model.modules():
        if isinstance(module, nn.Linear) and entered:
            yield module
        entered = entered or isinstance(module, _ENTRANCES)
