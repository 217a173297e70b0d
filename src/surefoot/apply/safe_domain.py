"""``safe-domain``: roots, logarithms, inverse cosines, exponentials and quotients keep to where they are finite.

At the edge of a domain the backward multiplies 0 by ∞: a finite loss, and a gradient that is NaN; beyond it the value
is NaN or infinite too. An argument there is moved to the nearest one that will do, and gets no gradient. What is
divided by zero is divided by one: nothing, over a count of nothing, is nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch, trains


def _off_zero(x: Tensor) -> Tensor:
    return x.clamp_min(torch.finfo(x.dtype).tiny)


def _off_zero_by_a_root(x: Tensor) -> Tensor:
    """Far enough for the slope of a root, 1/2√x, to be no more than what a number has digits for."""
    return x.clamp_min(torch.finfo(x.dtype).eps ** 2)


def _off_one(x: Tensor) -> Tensor:
    most = 1 - torch.finfo(x.dtype).eps
    return x.clamp(-most, most)


def _not_zero(x: Tensor) -> Tensor:
    return x.where(x != 0, 1)


def _below_overflow(x: Tensor) -> Tensor:
    """A fifth of the exponents is left for sums and products of what comes out."""
    return x.clamp_max(0.8 * math.log(torch.finfo(x.dtype).max))


_INSIDE: dict[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(("log", "log2", "log10"), _off_zero),
    **dict.fromkeys(("sqrt", "rsqrt"), _off_zero_by_a_root),
    **dict.fromkeys(("acos", "arccos", "asin", "arcsin", "atanh", "arctanh"), _off_one),
    "exp": _below_overflow,
}


class SafeDomain(Cure):
    """Stands before these functions and methods, and before powers below 1."""

    id = "safe-domain"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._moved: Tensor | None = None  # arguments, summed where they are: nothing waits for a device

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Each as function and as method."""
        for home in (torch, Tensor):
            for name, inside in _INSIDE.items():
                yield home, name, functools.partial(self._guarded, guard, inside)
            yield home, "pow", functools.partial(self._power, guard)
            for name in ("div", "divide", "true_divide"):
                yield home, name, functools.partial(self._quotient, guard)
        yield Tensor, "__pow__", functools.partial(self._power, guard)
        yield Tensor, "__truediv__", functools.partial(self._quotient, guard)

    def _guarded(
        self, guard: Callable[..., Any], inside: Callable[[Tensor], Tensor], original: Callable[..., Any]
    ) -> Callable[..., Any]:
        @functools.wraps(original)
        def function(input: Any, *args: Any, **kwargs: Any) -> Any:
            moved = None if torch.compiler.is_compiling() else guard(self._move, input, inside)
            return original(input if moved is None else moved, *args, **kwargs)

        return function

    def _power(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def power(input: Any, exponent: Any, *args: Any, **kwargs: Any) -> Any:
            # of a negative number there are whole powers, so that only the others have an edge
            root = isinstance(exponent, float) and exponent < 1 and exponent % 1 and not torch.compiler.is_compiling()
            moved = guard(self._move, input, _off_zero_by_a_root) if root else None
            return original(input if moved is None else moved, exponent, *args, **kwargs)

        return power

    def _quotient(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def quotient(input: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
            moved = None
            if isinstance(other, Tensor) and (trains(input) or trains(other)) and not torch.compiler.is_compiling():
                moved = guard(self._move, other, _not_zero)
            return original(input, other if moved is None else moved, *args, **kwargs)

        return quotient

    def _move(self, x: Any, inside: Callable[[Tensor], Tensor]) -> Tensor | None:
        if not (trains(x) or inside is _not_zero) or not x.is_floating_point():
            return None
        moved = inside(x)
        count = (moved != x).sum()
        self._moved = count if self._moved is None else self._moved.to(count.device) + count
        self.act()
        return moved

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("none of its functions was on the way of a gradient; nothing was changed")

    def summary(self) -> str:
        """How often."""
        moved = 0 if self._moved is None else int(self._moved)
        return f"moved {moved:,} arguments off the edge of a domain, in {self.acted:,} calls"
