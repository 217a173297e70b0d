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
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Patch
from surefoot.apply.script_calls import by_the_script, caller, in_a_forward, losses_given
from surefoot.losses.shapes import match_shapes

_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")


class MatchShapes(Cure):
    """Calls :func:`surefoot.losses.match_shapes`."""

    id = "match-shapes"

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Losses of regression, differences, and products."""
        yield from losses_given(_LOSSES, guard, lambda _, predictions, targets: self._matched(predictions, targets))
        yield from losses_given(("gaussian_nll_loss",), guard, lambda _, p, targets: (p, self._like(p, targets)))
        for name in ("sub", "mul"):
            change = self._residual if name == "sub" else self._weighted
            for home, called in ((Tensor, f"__{name}__"), (Tensor, name), (torch, name)):
                yield home, called, functools.partial(self._between, guard, change)

    def _between(
        self, guard: Callable[..., Any], change: Callable[..., Any], original: Callable[..., Any]
    ) -> Callable[..., Any]:
        @functools.wraps(original)
        def operator(*args: Any, **kwargs: Any) -> Any:
            both = len(args) == 2 and isinstance(args[0], Tensor) and isinstance(args[1], Tensor)
            if both and args[0].shape != args[1].shape and not torch.compiler.is_compiling():
                frame = caller()
                args = (by_the_script(frame) and guard(change, *args, frame)) or args
            return original(*args, **kwargs)

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

    def _like(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Targets in the shape of the predictions, which their variances have, too."""
        if not _meet(predictions, targets):
            return targets
        self.act()
        return targets.reshape(predictions.shape)

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
