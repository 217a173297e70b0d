"""The only places where surefoot stands in PyTorch's way: one function, the clipping functions, and the step hooks.

``torch.autograd.backward`` is where every ``loss.backward()`` passes; ``clip_grad_*`` because gradients are to be read
before; ``GradScaler.step`` for the factor that the loss was multiplied by. The clock is PyTorch's own global optimiser
hooks. Everything is put back by :meth:`Patches.remove`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


@runtime_checkable
class Listener(Protocol):
    """Who is told. Its methods never raise."""

    idle: bool  # nothing but the end of steps is to be told just now
    on_idle: Callable[[bool], None] | None  # to be called when `idle` changes

    def before_backward(self, tensors: Any) -> None:
        """A backward begins."""

    def after_backward(self) -> None:
        """A backward ended without an exception."""

    def before_clip(self, parameters: Any) -> None:
        """Gradients are about to be clipped."""

    def scaled_by(self, scaler: Any) -> None:
        """A gradient scaler is about to step an optimiser."""

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step begins."""

    def after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step ended without an exception."""


class Patches:
    """Puts the listener in place; :meth:`remove` restores PyTorch as it was."""

    def __init__(self, listener: Listener) -> None:
        self._restore: list[tuple[Any, str, Any, Any]] = []
        compiling = torch.compiler.is_compiling

        original = torch.autograd.backward

        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            if compiling() or listener.idle:
                original(tensors, *args, **kwargs)
                return
            listener.before_backward(tensors)
            original(tensors, *args, **kwargs)
            listener.after_backward()

        self._put(torch.autograd, "backward", backward)

        for name in ("clip_grad_norm_", "clip_grad_value_"):
            self._put(torch.nn.utils, name, _clipping(getattr(torch.nn.utils, name), listener))
            self._put(torch.nn.utils.clip_grad, name, getattr(torch.nn.utils, name))

        scaler = torch.amp.grad_scaler.GradScaler
        scaler_step = scaler.step

        @functools.wraps(scaler_step)
        def step(self: Any, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            listener.scaled_by(self)
            return scaler_step(self, optimizer, *args, **kwargs)

        self._put(scaler, "step", step)

        self._before_step = listener.before_step
        self._post_hook = register_optimizer_step_post_hook(listener.after_step)
        self._pre_hook: Any = register_optimizer_step_pre_hook(listener.before_step)
        self._backward, self._bare_backward = backward, original
        self._listener = listener
        listener.on_idle = self._rest

    def _put(self, home: Any, name: str, wrapper: Any) -> None:
        self._restore.append((home, name, getattr(home, name), wrapper))
        setattr(home, name, wrapper)

    def _rest(self, idle: bool) -> None:
        """Step out of the way while the listener is idle: even a call that does nothing costs microseconds."""
        if idle:
            if torch.autograd.backward is self._backward:
                torch.autograd.backward = self._bare_backward
            if self._pre_hook is not None:
                self._pre_hook.remove()
                self._pre_hook = None
        else:
            if torch.autograd.backward is self._bare_backward:
                torch.autograd.backward = self._backward
            if self._pre_hook is None:
                self._pre_hook = register_optimizer_step_pre_hook(self._before_step)

    def remove(self) -> None:
        """Restore what was patched, unless somebody patched it again on top."""
        self._listener.on_idle = None
        for home, name, original, wrapper in reversed(self._restore):
            if getattr(home, name) is wrapper:
                setattr(home, name, original)
        for handle in (self._pre_hook, self._post_hook):
            if handle is not None:
                handle.remove()
        self._restore, self._pre_hook = [], None


def _clipping(original: Callable[..., Any], listener: Listener) -> Callable[..., Any]:
    @functools.wraps(original)
    def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return original(parameters, *args, **kwargs)
        if not isinstance(parameters, (torch.Tensor, list, tuple)):
            parameters = list(parameters)  # `model.parameters()` is a generator, and can be read once only
        listener.before_clip(parameters)
        return original(parameters, *args, **kwargs)

    return clip
