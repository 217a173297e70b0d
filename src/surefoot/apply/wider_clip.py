"""``wider-clip``: ``clip_grad_norm_`` and ``clip_grad_value_`` clip at a bound that only unusual gradients reach.

Where a gradient scaler's factor is still in the gradients (``scaler.unscale_`` was not called before), the script's own
bound is multiplied by that factor: it was meant for gradients as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils import clip_grad

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.apply.scalers import Scalers
from surefoot.observe.unscaled import is_unscaled


class WiderClip(Cure):
    """Raises the bound that the script clips at; one that is as high already stays."""

    id = "wider-clip"

    def __init__(self, desk: Desk, bound: float) -> None:
        super().__init__(desk)
        self.bound = bound
        self._scaled = 0  # times that gradients were clipped with a scaler's factor in them
        self._scalers = Scalers()

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Both functions, wherever torch has them."""
        for name, key in (("clip_grad_norm_", "max_norm"), ("clip_grad_value_", "clip_value")):
            for home in (torch.nn.utils, clip_grad):
                yield home, name, functools.partial(self._clip, guard, key)

    def _clip(self, guard: Callable[..., Any], key: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            asked = args[0] if args else kwargs.get(key)
            wider = None if asked is None else guard(self._wider, asked)
            if wider is None:
                return original(parameters, *args, **kwargs)
            return original(parameters, wider, *args[1:], **{k: v for k, v in kwargs.items() if k != key})

        return clip

    def _wider(self, asked: float) -> float:
        factor = self._factor()
        bound = self.bound if factor == 1 else float(asked) * factor
        if float(asked) >= bound:
            return asked
        self._scaled += factor != 1
        self.act()
        return bound

    def _factor(self) -> float:
        """By what gradients are multiplied at this moment."""
        scalers = self._scalers.enabled()
        if len(scalers) != 1:
            return 1.0
        return 1.0 if is_unscaled(scalers[0]) else float(scalers[0].get_scale())

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("torch's clip_grad_norm_ and clip_grad_value_ got no lower bound; nothing was changed")

    def summary(self) -> str:
        """How often."""
        wider = self.acted - self._scaled
        text = f"clipped at {self.bound:g} in the place of a lower bound, {wider:,} times"
        if not self._scaled:
            return text
        own = f"clipped at the script's own bound times the gradient scaler's factor, {self._scaled:,} times"
        return f"{text}; {own}" if wider else own
