"""``attention-cap``: what enters the softmax of an attention is scaled down to a size at which it passes a gradient.

The scale is a number without a gradient, one for all of a call, so that no growth of weights, of inputs or of a factor
in front can make of the softmax a maximum (as `saturation-cap` does for tanh and sigmoid). Weights stay as they are:
`qk-clip` would have to shorten them again and again where it is not they that grow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.apply.script_calls import caller, in_a_forward


class AttentionCap(Cure):
    """Stands before ``softmax`` (layers and ``torch.nn.functional.softmax`` go through the method) and
    ``scaled_dot_product_attention`` inside of modules; in evaluation too."""

    id = "attention-cap"
    wants_models = True

    def __init__(self, desk: Desk, tau: float) -> None:
        super().__init__(desk)
        self.tau = tau
        self._fast: bool | None = None  # what torch had for its own layers in evaluation, whose softmax nobody sees

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Both functions, and the method."""
        for home in (torch, Tensor):
            yield home, "softmax", functools.partial(self._softmax, guard)
        yield F, "scaled_dot_product_attention", functools.partial(self._attention, guard)

    def at_optimizer(self, optimizer: Any) -> None:
        """Torch's layers are to evaluate by the functions that they train by."""
        if self._fast is None:
            self._fast = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)

    def _softmax(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def softmax(input: Any, *args: Any, **kwargs: Any) -> Any:
            inside = not torch.compiler.is_compiling() and in_a_forward(caller())
            smaller = guard(self._scaled, input) if inside else None
            return original(input if smaller is None else smaller, *args, **kwargs)

        return softmax

    def _attention(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def attention(query: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
            inside = not torch.compiler.is_compiling() and in_a_forward(caller())
            shorter = guard(self._shortened, query, key, kwargs.get("scale")) if inside else None
            return original(query if shorter is None else shorter, key, *args, **kwargs)

        return attention

    def _scaled(self, scores: Any) -> Tensor | None:
        """Of scores that are masked, the largest is none of those."""
        if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.numel() < 2:
            return None
        return self._down(scores, float(scores.detach().max()))

    def _shortened(self, query: Tensor, key: Tensor, scale: float | None) -> Tensor | None:
        """Queries of which the largest logit, masked or not, is within the bound."""
        with torch.no_grad():
            keys = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3) if query.dim() > 3 else key
            largest = float((query @ keys.mT).max())
        return self._down(query, largest * (1 / math.sqrt(query.shape[-1]) if scale is None else scale))

    def _down(self, x: Tensor, largest: float) -> Tensor | None:
        if not self.tau < largest < math.inf:
            return None
        self.act()
        return x * (self.tau / largest)

    def at_close(self) -> None:
        """Put back what torch had; say so where there was nothing to change."""
        if self._fast is not None:
            torch.backends.mha.set_fastpath_enabled(self._fast)
        if not self.acted:
            self.note(f"no softmax inside of a module got more than {self.tau:g}; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"scaled what entered an attention's softmax down to {self.tau:g} in {self.acted:,} calls"
