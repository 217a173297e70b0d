"""``leaky-relu``: units that a ReLU has switched off for good get a slope to come back by."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.apply.script_calls import caller, in_a_forward


class LeakyReLU(Cure):
    """Puts ``torch.nn.functional.leaky_relu`` in the place of ``relu``, as function, as method and in ``nn.ReLU``; in
    evaluation too, for it is another network."""

    id = "leaky-relu"

    def __init__(self, desk: Desk, slope: float) -> None:
        super().__init__(desk)
        self.slope = slope

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """All that a ReLU is called by; ``F.relu(x, inplace=True)`` gives a new tensor."""
        for home in (F, torch, Tensor):
            yield home, "relu", functools.partial(self._relu, guard, F.leaky_relu)
            yield home, "relu_", functools.partial(self._relu, guard, F.leaky_relu_)

    def _relu(
        self, guard: Callable[..., Any], leaky_relu: Callable[..., Tensor], original: Callable[..., Any]
    ) -> Callable[..., Any]:
        @functools.wraps(original)
        def relu(input: Any, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return leaky_relu(input, self.slope)
            leaky = guard(self._leaky, leaky_relu, input)
            return original(input, *args, **kwargs) if leaky is None else leaky

        return relu

    def _leaky(self, leaky_relu: Callable[..., Tensor], x: Any) -> Tensor | None:
        if not isinstance(x, Tensor) or (x.dim() < 2 and not in_a_forward(caller())):
            return None  # a number for each sample, outside of modules, is a margin of a loss
        self.act()
        return leaky_relu(x, self.slope)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("the script called no ReLU; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"gave {self.acted:,} ReLUs a slope of {self.slope:g} below zero"
