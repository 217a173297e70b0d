"""``wider-clip``: ``clip_grad_norm_`` and ``clip_grad_value_`` clip at a bound that only unusual gradients reach.

A script may clip by code of its own: no element of a gradient has grown between backward and step, the whole is
shorter, and by another share than the step before (division by a constant is no clipping). What it left is then made
longer by one factor, each element up to what the backward gave: whatever is bounded there, norms or units, is so by a
higher bound, which is ten times what the first gradient needs. The gradients of several ranks, and of a gradient
scaler, are left alone.

Where a gradient scaler's factor is still in the gradients (``scaler.unscale_`` was not called before), the script's own
bound is multiplied by that factor: it was meant for gradients as they are.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import clip_grad
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, Patch, parameters_of
from surefoot.apply.scalers import Scalers
from surefoot.observe.unscaled import is_unscaled

_SHORTER = 0.999
_ROUNDED = 1e-5
_WIDER = 10.0  # times the usual size


class WiderClip(Cure):
    """Raises the bound that the script clips at; one that is as high already stays."""

    id = "wider-clip"
    wants_models = True

    def __init__(self, desk: Desk, bound: float) -> None:
        super().__init__(desk)
        self.bound = bound
        self._scaled = 0  # times that gradients were clipped with a scaler's factor in them
        self._scalers = Scalers()
        self._by_hand = 0  # steps whose gradients the script had clipped by code of its own
        self._called = False  # one of torch's functions: then nothing is clipped by hand
        self._left: dict[int, Tensor] = {}  # gradients as the backward left them, by their parameters' ids
        self._hooks: dict[int, Any] = {}
        # the shares of their gradients' norms that the step before was left, and the first one
        self._seen: weakref.WeakKeyDictionary[Optimizer, tuple[float, float]] = weakref.WeakKeyDictionary()

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Both functions, wherever torch has them."""
        for name, key in (("clip_grad_norm_", "max_norm"), ("clip_grad_value_", "clip_value")):
            for home in (torch.nn.utils, clip_grad):
                yield home, name, functools.partial(self._clip, guard, key)

    def _clip(self, guard: Callable[..., Any], key: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            self._called = True
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

    # ------------------------------------------------------------------------------------------------------- by hand

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Keep what backwards leave of its parameters' gradients."""
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            if id(parameter) not in self._hooks and parameter.requires_grad and parameter.is_leaf:
                self._hooks[id(parameter)] = parameter.register_post_accumulate_grad_hook(self._keep)

    def _keep(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is not None and not gradient.is_sparse and not self._called and not torch.compiler.is_compiling():
            self._left[id(parameter)] = gradient.detach().clone()

    @torch.no_grad()
    def at_gradients(self, optimizer: Optimizer) -> None:
        """Widen what is clipped by hand."""
        self.at_optimizer(optimizer)  # of groups that were added
        held = parameters_of(optimizer)
        pairs = [(p.grad, self._left[id(p)]) for p in held if p.grad is not None and id(p) in self._left]
        several = dist.is_available() and dist.is_initialized()
        if self._called or several or not pairs or self._scalers.enabled():
            return
        now, left = (torch.stack([g.float().norm() for g in side]).norm() for side in zip(*pairs, strict=True))
        share = float(now / left)
        before, first = self._seen.get(optimizer, (None, share))
        self._seen[optimizer] = share, first
        if before is None or not share < _SHORTER or abs(share - before) <= _ROUNDED * before or not first > 0:
            return
        if any(bool((g.abs() > (1 + _ROUNDED) * raw.abs()).any()) for g, raw in pairs):
            return
        for gradient, raw in pairs:
            gradient.copy_(raw.sign() * raw.abs().minimum(gradient.abs() * (_WIDER / first)))
        self._by_hand += 1
        self.act()

    def restore(self, optimizer: Optimizer) -> None:
        """Nothing of a step is kept for the next."""
        for parameter in parameters_of(optimizer):
            self._left.pop(id(parameter), None)

    def at_close(self) -> None:
        """Take the hooks away; say so where there was nothing to change."""
        for hook in self._hooks.values():
            hook.remove()
        if not self.acted:
            self.note(
                "torch's clip_grad_norm_ and clip_grad_value_ got no lower bound, and no gradient was clipped by other "
                "code; nothing was changed"
            )

    def summary(self) -> str:
        """How often."""
        wider = self.acted - self._scaled
        if self._by_hand:
            return f"widened the clipping that is not torch's, {self.acted:,} times"
        text = f"clipped at {self.bound:g} in the place of a lower bound, {wider:,} times"
        if not self._scaled:
            return text
        own = f"clipped at the script's own bound times the gradient scaler's factor, {self._scaled:,} times"
        return f"{text}; {own}" if wider else own
