"""``match-shapes``: predictions (n, 1) and targets (n,) meet as (n,), each prediction its own target.

Targets that are (n, n) already, since (n,) and (n, 1) met when they were made (rewards and values of the next state,
say), are their diagonal: entry i was made of the i-th of everything.

Reached is what goes through the loss functions of ``torch.nn.functional``, as ``nn.MSELoss`` does, what the script
itself subtracts from a prediction that takes a gradient, and, outside of modules, what it multiplies one by
(log-probabilities by advantages, losses by weights); in evaluations too, for a loss that compares all with all is no
measure of anything.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Patch
from surefoot.apply.script_calls import by_the_script, in_a_forward, losses_given
from surefoot.losses.shapes import match_shapes

_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


class MatchShapes(Cure):
    """Calls :func:`surefoot.losses.match_shapes`."""

    id = "match-shapes"

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Losses of regression, differences, and products."""
        yield from losses_given(_LOSSES, guard, lambda _, predictions, targets: self._matched(predictions, targets))
        yield Tensor, "__sub__", functools.partial(self._between, guard, self._residual)
        yield Tensor, "__mul__", functools.partial(self._between, guard, self._weighted)

    def _between(
        self, guard: Callable[..., Any], change: Callable[..., Any], original: Callable[..., Any]
    ) -> Callable[..., Any]:
        @functools.wraps(original)
        def operator(left: Any, right: Any) -> Any:
            if isinstance(right, Tensor) and left.shape != right.shape and not torch.compiler.is_compiling():
                frame = sys._getframe(1)
                left, right = (by_the_script(frame) and guard(change, left, right, frame)) or (left, right)
            return original(left, right)

        return operator

    def _weighted(self, left: Tensor, right: Tensor, frame: FrameType) -> tuple[Tensor, Tensor]:
        """Of n numbers with a gradient and a weight for each: none within a module, which may mean an outer product."""
        if not _meet(left, right) or left.requires_grad == right.requires_grad or in_a_forward(frame):
            return left, right
        return self._matched(left, right)

    def _residual(self, left: Tensor, right: Tensor, _: FrameType) -> tuple[Tensor, Tensor]:
        """Of a difference that is a residual: n numbers each, one side with a gradient, the other without one."""
        if left.requires_grad:
            right = self._diagonal(left, right)
        elif right.requires_grad:
            left = self._diagonal(right, left)
        if not _meet(left, right):
            return left, right
        learns = left.requires_grad != right.requires_grad
        if not learns and (left.requires_grad or not self.acted):
            return left, right  # a script that compares all pairs of predictions, or of data, means it
        return self._matched(left, right)

    def _diagonal(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Of n predictions, ``(n, 1)`` or ``(n,)``, and targets ``(n, n)`` without a gradient: a target for each."""
        n = len(predictions) if predictions.dim() else 0
        if n < 2 or predictions.numel() != n or targets.shape != (n, n) or targets.requires_grad:
            return targets
        self.act()
        return targets.diagonal().reshape(predictions.shape)

    def _matched(self, predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        targets = self._diagonal(predictions, targets)
        given = match_shapes(predictions, targets)
        if given[0] is not predictions or given[1] is not targets:
            self.act()
        return given

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no loss compared (n, 1) with (n,) or (n, n); nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"brought predictions and targets to one shape in {self.acted:,} losses"


def _meet(left: Tensor, right: Tensor) -> bool:
    """Whether these are a vector and a matrix of the same n numbers."""
    return {left.dim(), right.dim()} == {1, 2} and left.numel() == right.numel() >= 2
