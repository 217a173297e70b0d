"""``skip-outliers``: rows of which an input, or a target, lies far beyond what is usual send no gradient back.

Few rows that want what nothing else wants swing the loss at each step. What they are told by is their data, never
their losses: a row that is merely hard stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure, Patch, trains
from surefoot.apply.script_calls import losses_given
from surefoot.nn.fences import Fences

_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_MOST = 0.1  # of a batch: where more rows are beyond the fences they are no outliers, and all stay


class SkipOutliers(ModelCure):
    """Takes the gradient of such rows out of what the models' outputs get; gives losses the prediction for a target."""

    id = "skip-outliers"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._handles: list[Any] = []
        self._fences: dict[tuple[str, int], Fences] = {}  # of inputs by model, of targets by their features
        self._rows = {"inputs": 0, "targets": 0}

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Losses of regression."""
        yield from losses_given(_LOSSES, guard, lambda _, predictions, targets: self._compared(predictions, targets))

    def _compared(self, predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        one_each = predictions.shape == targets.shape and 0 < targets.dim() <= 2
        if not (one_each and self.training and trains(predictions) and targets.is_floating_point()):
            return predictions, targets
        rows = targets.detach().reshape(len(targets), -1)
        beyond = self._beyond("targets", rows.shape[1], rows, -1)
        if beyond is None:
            return predictions, targets
        mask = beyond.view(-1, *[1] * (targets.dim() - 1))
        return predictions, torch.where(mask, predictions.detach(), targets)

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
        reached = [t for t in outputs if t.dim() and len(t) == len(inputs)]
        dim = 1 if inputs.dim() > 3 else -1
        beyond = self._beyond("inputs", id(model), inputs.detach(), dim) if reached else None
        if beyond is None:
            return
        for one in reached:
            mask = beyond.view(-1, *[1] * (one.dim() - 1))
            one.register_hook(lambda gradient, mask=mask: gradient.masked_fill(mask, 0))

    def _beyond(self, what: str, of: int, data: Tensor, dim: int) -> Tensor | None:
        """Which rows lie beyond the fences of those so far; None where none does, or too many for outliers."""
        fences = self._fences.get((what, of))
        if fences is None or fences.num_features != data.shape[dim]:
            fences = self._fences[what, of] = Fences(data.shape[dim], dim, data.device, torch.float32)
        with torch.enable_grad():
            beyond = (fences(data) != data).flatten(1).any(1)
        if not 0 < float(beyond.float().mean()) <= _MOST:
            return None
        self._rows[what] += int(beyond.sum())
        self.act()
        return beyond

    def at_close(self) -> None:
        """Leave no hook behind."""
        for handle in self._handles:
            handle.remove()
        if not self.acted and not self.noted:
            self.note("no row had inputs or targets far beyond the others; nothing was changed")

    def summary(self) -> str:
        """How many."""
        left = " and ".join(f"{rows:,} rows with {what}" for what, rows in self._rows.items() if rows)
        return f"left {left or 'no rows with inputs'} far beyond the others out"
