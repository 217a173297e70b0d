"""``saturation-cap``: what enters a tanh or sigmoid is scaled down to a size at which its slope is not lost.

The scale is a number without a gradient, so that what is learned is the direction, and no growth of weights, inputs or
of a factor in front can switch the units off (as a norm does, and qk-clip for attention). The sign stays what it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch


class SaturationCap(Cure):
    """Stands before ``tanh`` and ``sigmoid``, as function, as method and in their modules; in evaluation too."""

    id = "saturation-cap"

    def __init__(self, desk: Desk, rms: float) -> None:
        super().__init__(desk)
        self.rms = rms
        self._capped: Tensor | None = None  # calls, summed where they are: nothing waits for a device

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """All that they are called by."""
        for home in (F, torch, Tensor):
            for name in ("tanh", "sigmoid"):
                yield home, name, functools.partial(self._before, guard)
        for home in (torch, Tensor):
            for name in ("tanh_", "sigmoid_"):
                yield home, name, functools.partial(self._in_place, guard)
        yield torch.special, "expit", functools.partial(self._before, guard)

    def _before(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def squash(input: Any, *args: Any, **kwargs: Any) -> Any:
            smaller = None if torch.compiler.is_compiling() else guard(self._scaled, input)
            return original(input if smaller is None else smaller, *args, **kwargs)

        return squash

    def _in_place(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def squash(input: Any) -> Any:
            smaller = None if torch.compiler.is_compiling() else guard(self._scaled, input)
            return original(input if smaller is None else input.copy_(smaller))

        return squash

    def _scaled(self, x: Any) -> Tensor | None:
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.numel() < 2:
            return None
        size = x.detach().float().square().mean().sqrt()
        over = (size > self.rms).long()
        self._capped = over if self._capped is None else self._capped.to(over.device) + over
        self.act()
        return x * (self.rms / size).clamp(max=1.0).to(x.dtype)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("the script called no tanh and no sigmoid; nothing was changed")

    def summary(self) -> str:
        """How often."""
        capped = 0 if self._capped is None else int(self._capped)
        return f"scaled what entered a tanh or sigmoid to a size of {self.rms:g} in {capped:,} of {self.acted:,} calls"
