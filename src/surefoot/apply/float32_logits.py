"""``float32-logits``: in training, logits in half precision go into cross-entropy and log-softmax as float32.

Rounded to 8 or 11 bits, log-probabilities of a class that leads by 5.5 nats (bfloat16) or 7.6 (float16) are exactly 0,
and so is the gradient. A loss without a gradient, as of validation, stays what it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from surefoot.apply.cure import Cure, Patch, trains

_HALF = (torch.float16, torch.bfloat16)


class Float32Logits(Cure):
    """Casts the first argument of the functions that take logits."""

    id = "float32-logits"

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Cross-entropy, and log-softmax as function and as method, which the layer goes through."""
        for home, name in ((F, "cross_entropy"), (torch, "log_softmax"), (Tensor, "log_softmax")):
            yield home, name, functools.partial(self._wide, guard)

    def _wide(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def function(input: Any, *args: Any, **kwargs: Any) -> Any:
            wide = None if torch.compiler.is_compiling() else guard(self._cast, input)
            return original(input if wide is None else wide, *args, **kwargs)

        return function

    def _cast(self, logits: Any) -> Tensor | None:
        if not trains(logits) or logits.dtype not in _HALF:
            return None
        self.act()
        return logits.float()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no logits in half precision went into a cross-entropy or log-softmax; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"took {self.acted:,} losses of logits in float32"
