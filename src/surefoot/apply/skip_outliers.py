"""``skip-outliers``: rows of which an input lies far beyond what is usual send no gradient back.

Few rows that want what nothing else wants swing the loss at each step. What they are told by is their inputs, never
their losses: a row that is merely hard stays.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure, trains
from surefoot.nn.fences import Fences

_MOST = 0.1  # of a batch: where more rows are beyond the fences they are no outliers, and all stay


class SkipOutliers(ModelCure):
    """Takes the gradient of such rows out of what the models' outputs get."""

    id = "skip-outliers"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._handles: list[Any] = []
        self._fences: dict[int, Fences] = {}
        self._rows = 0

    def met(self, model: nn.Module) -> None:
        """Look at each of its forwards."""
        self._handles.append(model.register_forward_hook(self._after))

    def _after(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if torch.compiler.is_compiling() or not self.training or not model.training:
            return
        inputs = next((a for a in args if isinstance(a, Tensor) and a.is_floating_point() and a.dim() > 1), None)
        outputs = [t for t in (output if isinstance(output, tuple | list) else (output,)) if trains(t)]
        if inputs is None:
            return
        dim = 1 if inputs.dim() > 3 else -1
        fences = self._fences.get(id(model))
        if fences is None or fences.num_features != inputs.shape[dim]:
            fences = self._fences[id(model)] = Fences(inputs.shape[dim], dim, inputs.device, torch.float32)
        with torch.enable_grad():
            beyond = (fences(inputs.detach()) != inputs.detach()).flatten(1).any(1)
        share = float(beyond.float().mean())
        reached = [t for t in outputs if t.dim() and len(t) == len(beyond)]
        if not 0 < share <= _MOST or not reached:
            return
        self._rows += int(beyond.sum())
        for one in reached:
            mask = beyond.view(-1, *[1] * (one.dim() - 1))
            one.register_hook(lambda gradient, mask=mask: gradient.masked_fill(mask, 0))
        self.act()

    def at_close(self) -> None:
        """Leave no hook behind."""
        for handle in self._handles:
            handle.remove()
        if not self.acted and not self.noted:
            self.note("no row had inputs far beyond the others; nothing was changed")

    def summary(self) -> str:
        """How many."""
        return f"left {self._rows:,} rows with inputs far beyond the others out of {self.acted:,} batches"
