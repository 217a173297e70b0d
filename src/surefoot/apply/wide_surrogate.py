"""``wide-surrogate``: steps that a script wrote itself pass the gradient of a slope as wide as their input scatters.

A spike, or a sign, has no slope, and another one stands in for it (Neftci, Mostafa, Zenke 2019, arXiv 1901.09948).
Where that has become so narrow that next to no entry lies in it, nothing learns. In its place comes the slope of a fast
sigmoid that rises by as much as the step, h/(2s (1 + |v|/s)²). v is the distance from the step and s its median, so
that half of all entries get a quarter of the highest slope or more, whatever the unit. Where the step is, and how high,
its values show.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from surefoot.apply.cure import Cure, Desk, Patch, trains


class WideSurrogate(Cure):
    """Gives the same values, with another gradient."""

    id = "wide-surrogate"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._at: dict[type, tuple[float, float]] = {}  # of each such function, where its step is, and how high

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """What every function of a script's own is called by."""
        yield _AsStored(), "apply", functools.partial(self._applying, guard)

    def _applying(self, guard: Callable[..., Any], original: Any) -> Any:
        plain = original.__func__

        @functools.wraps(plain)
        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            value = plain(cls, *args, **kwargs)
            own = not str(cls.__module__).startswith(("surefoot.", "torch."))
            if not own or torch.compiler.is_compiling() or not trains(value):
                return value
            wide = guard(self._widened, cls, args, value)
            return value if wide is None else wide

        return classmethod(apply)

    def _widened(self, cls: type, args: tuple[Any, ...], value: Tensor) -> Tensor | None:
        """The value with the other gradient; None where it is no step of the one argument that wants a gradient."""
        asking = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
        if len(asking) != 1 or asking[0].shape != value.shape or not value.numel():
            return None
        with torch.no_grad():
            x, low, high = asking[0], value.min(), value.max()
            above = value == high
            if not bool((above | (value == low)).all()):
                return None
            if low < high:
                below, over = float(x[~above].max()), float(x[above].min())
                if not below <= over:
                    return None
                self._at[cls] = (below + over) / 2, float(high - low)
        if cls not in self._at:
            return None
        self.act()
        return _Wide.apply(x, value.detach(), *self._at[cls])

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no autograd.Function of the script's own gave a step; nothing was changed")

    def summary(self) -> str:
        """How often."""
        names = ", ".join(sorted(cls.__name__ for cls in self._at))
        return f"gave {self.acted:,} steps a wider slope ({names})" if self._at else "widened no slope"


class _AsStored:
    """``Function`` with its class methods as they are stored, not bound to it: put back, they are for all again."""

    def __getattr__(self, name: str) -> Any:
        return inspect.getattr_static(Function, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(Function, name, value)


class _Wide(Function):
    """The value of the second argument, with the gradient through a wide slope handed to the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, at: float, rise: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.at, ctx.rise = at, rise
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        far = (x - ctx.at).abs()
        size = far.median().clamp_min(torch.finfo(far.dtype).tiny)
        return gradient * (ctx.rise / (2 * size)) / (1 + far / size) ** 2, None, None, None
