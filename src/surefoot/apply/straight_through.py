"""``straight-through``: in training, the gradient passes ``round`` and ``sign`` as if they were not there.

Their slope is zero wherever it exists, so that nothing behind them ever learns. The straight-through estimator (Bengio,
Léonard, Courville 2013, arXiv 1308.3432, §3) hands the gradient on as it comes; of a sign only where the argument is
within ±1 (Hubara et al. 2016, Binarized Neural Networks, §1.3), beyond which it would grow for nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Patch, trains


class StraightThrough(Cure):
    """Gives the same values, with another gradient."""

    id = "straight-through"

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Each as function and as method."""
        for home in (torch, Tensor):
            for name, reach in (("round", float("inf")), ("sign", 1.0)):
                yield home, name, functools.partial(self._stepping, guard, reach)

    def _stepping(self, guard: Callable[..., Any], reach: float, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def function(input: Any, *args: Any, **kwargs: Any) -> Any:
            stepped = original(input, *args, **kwargs)
            if torch.compiler.is_compiling() or not trains(stepped):
                return stepped
            passed = guard(self._pass, input, stepped, reach)
            return stepped if passed is None else passed

        return function

    def _pass(self, x: Tensor, stepped: Tensor, reach: float) -> Tensor:
        self.act()
        return _Passed.apply(x, stepped.detach(), reach)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("neither round nor sign was on the way of a gradient; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"let the gradient pass {self.acted:,} calls of round and sign"


class _Passed(torch.autograd.Function):
    """The value of the second argument, with the gradient handed to the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stepped: Tensor, reach: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.reach = reach
        return stepped.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return torch.where(x.abs() <= ctx.reach, gradient, 0.0), None, None
