"""``adam-eps``: each step of an Adam-like optimiser is taken with another epsilon.

Adam divides by the root of averaged squares, which float32 does not hold of gradients far below 1e-18: no epsilon is
small enough for these. As only the ratio of gradient and epsilon counts, both are taken so many times larger for the
length of a step, by a power of two, that the epsilon is of a size with gradients a billion times smaller, and larger,
than those it is meant for that still have squares.
"""

from __future__ import annotations

import functools
import math
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from surefoot.apply.cure import Desk
from surefoot.apply.group_setting import GroupSetting
from surefoot.findings.rules.adaptive import LEAST_EPS
from surefoot.observe.patches import closure_in, followed, with_closure

_MIDDLE = 1e-15  # gradients that want it, 1e-9, lie in the middle of those below 1 of which float32 holds squares
_LARGEST = 2.0**60  # of a gradient whose square float32 holds; larger ones are as good as this, for Adam


class AdamEpsilon(GroupSetting):
    """Sets ``eps`` where an optimiser has one."""

    id = "adam-eps"
    key = "eps"

    def __init__(self, desk: Desk, eps: float) -> None:
        super().__init__(desk)
        self.eps = eps
        self.times = 1.0 if eps >= LEAST_EPS else 2.0 ** round(math.log2(_MIDDLE / eps))  # gradients are taken larger
        self._hooked: weakref.WeakKeyDictionary[Optimizer, tuple[Any, Any]] = weakref.WeakKeyDictionary()
        self._own: list[tuple[Tensor, Tensor]] = []  # parameters of the step under way, and their own gradients

    def value(self, optimizer: Optimizer, group: dict[str, Any], old: Any) -> Any:
        """The epsilon, unless it is the script's own, or too small for weights in half precision."""
        if not isinstance(old, float):
            return old
        least = max((torch.finfo(p.dtype).tiny for p in group["params"] if p.is_floating_point()), default=0.0)
        if self.eps < least:
            self.note(
                f"eps={self.eps:g} is zero in the precision of some weights; their group keeps {old:g} "
                f"(the least that would do is {least:.2g})"
            )
            return old
        new = self.eps * self.times if self._is_lifted(optimizer, group) else self.eps
        return old if new == old else new

    def _is_lifted(self, optimizer: Optimizer, group: dict[str, Any]) -> bool:
        """Whether gradients of a group are taken larger: not where a decay of a size of its own is among them, nor
        where a fused step is to take a gradient scaler's factor out of them."""
        decays = group.get("weight_decay") and not group.get("decoupled_weight_decay", False)
        scaled = getattr(optimizer, "grad_scale", None) is not None
        return self.times != 1 and isinstance(optimizer, Adam) and not decays and not scaled

    def before_step(self, optimizer: Optimizer) -> None:
        """Set epsilon, and have the gradients taken larger behind all that looks at them."""
        super().before_step(optimizer)
        if self.times != 1 and isinstance(optimizer, Adam) and optimizer not in self._hooked:
            begin, end = optimizer.register_step_pre_hook(self._begin), optimizer.register_step_post_hook(self._end)
            self._hooked[optimizer] = (begin, end)

    def _begin(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        closure = closure_in(args, kwargs)
        if closure is not None:
            return with_closure(args, kwargs, followed(closure, functools.partial(self._lift, optimizer)))
        self._lift(optimizer)
        return None

    @torch.no_grad()
    def _lift(self, optimizer: Optimizer) -> None:
        self._end()  # of a step that raised
        for group, _, new in self._lent:
            if new == self.eps or not self._is_lifted(optimizer, group):
                continue
            for p in group["params"]:
                own = p.grad
                if own is not None and not own.is_sparse:
                    large = own * self.times
                    p.grad = torch.where(own.isfinite(), large.clamp(-_LARGEST, _LARGEST), own)
                    self._own.append((p, own))

    def _end(self, *_: Any) -> None:
        """Give the script its gradients back."""
        for p, own in self._own:
            p.grad = own
        self._own.clear()

    def at_close(self) -> None:
        """Leave no hook behind; say so where there was nothing to change."""
        for handles in self._hooked.values():
            for handle in handles:
                handle.remove()
        if not self.acted and not self.noted:
            self.note("no optimiser with another eps stepped; nothing was changed")

    def summary(self) -> str:
        """How often."""
        larger = f", of gradients {self.times:.0e} times as large" if self._hooked else ""
        return f"took {self.acted:,} steps with eps = {self.eps:g}{larger}"
