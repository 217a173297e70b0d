"""The only places where surefoot stands in PyTorch's way: a dozen functions, two methods, and the step hooks.

``torch.autograd.backward`` is where every ``loss.backward()`` passes, and ``torch.autograd.grad`` every gradient that
an update by hand takes; ``clip_grad_*`` because gradients are to be read
before; ``GradScaler.step`` for the factor that the loss was multiplied by, and the steps that it skips; ``Module.eval``
and the loss functions for validation. The clock is PyTorch's own global optimiser hooks. Everything is put back by
:meth:`Patches.remove`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from surefoot.observe.asked import wrap_grad
from surefoot.observe.compiled import anything_compiled
from surefoot.observe.validation import LOSSES, Validation, wrap_eval, wrap_loss


@runtime_checkable
class Listener(Protocol):
    """Who is told. Its methods never raise."""

    on_idle: Callable[[bool], None] | None  # to be called when `idle` changes
    tick: Callable[[Optimizer, Any, Any], None]
    validation: Validation  # is told of losses

    @property
    def idle(self) -> bool:
        """Nothing but the end of steps is to be told just now, and that to `tick`."""

    @property
    def hearing(self) -> bool:
        """While idle, the beginning of backwards is to be told to `heard` as well."""

    def heard(self, tensors: Any) -> bool:
        """A backward begins while idle; whether it is to be told of as if it did not."""

    def before_backward(self, tensors: Any, inputs: Any = None) -> None:
        """A backward begins; of ``inputs`` alone, if they are given."""

    def after_backward(self) -> None:
        """A backward ended without an exception."""

    def before_gradient(self, outputs: Any, inputs: Any, create_graph: bool) -> bool:
        """A gradient is asked for; whether to tell once it is there."""

    def after_gradient(self, found: Any) -> None:
        """It is there."""

    def before_clip(self, parameters: Any) -> None:
        """Gradients are about to be clipped."""

    def scaled_by(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler is about to step an optimiser."""

    def after_scaled(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler has stepped an optimiser, or skipped its step."""

    def computed(self, loss: Any) -> None:
        """A loss function has given a loss that takes a gradient."""

    def after_eval(self) -> None:
        """Some module was put into evaluation mode."""

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """An optimiser's step begins; may give other arguments for it."""

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
            if compiling() or (listener.idle and not listener.heard(tensors)):
                original(tensors, *args, **kwargs)
                return
            listener.before_backward(tensors, kwargs.get("inputs"))
            original(tensors, *args, **kwargs)
            listener.after_backward()

        original_grad = torch.autograd.grad
        grad = wrap_grad(original_grad, lambda: listener.idle, listener.before_gradient, listener.after_gradient)

        _never_compile(backward, all_below=False)
        entries = (listener.before_backward, listener.after_backward, listener.before_step, listener.after_step)
        for entry in (*entries, listener.tick, listener.heard):
            _never_compile(entry, all_below=True)
        self._put(torch.autograd, "backward", backward)
        self._put(torch.autograd, "grad", grad)

        for name in ("clip_grad_norm_", "clip_grad_value_"):
            self._put(torch.nn.utils, name, _clipping(getattr(torch.nn.utils, name), listener))
            self._put(torch.nn.utils.clip_grad, name, getattr(torch.nn.utils, name))

        scaler = torch.amp.grad_scaler.GradScaler
        scaler_step = scaler.step

        @functools.wraps(scaler_step)
        def step(self: Any, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            listener.scaled_by(self, optimizer)
            result = scaler_step(self, optimizer, *args, **kwargs)
            listener.after_scaled(self, optimizer)
            return result

        self._put(scaler, "step", step)
        self._put(torch.nn.Module, "eval", wrap_eval(torch.nn.Module.eval, listener.after_eval))
        if not anything_compiled():  # else what was compiled with these functions would be compiled again
            for name in LOSSES:
                loss = getattr(torch.nn.functional, name)
                self._put(torch.nn.functional, name, wrap_loss(loss, listener.validation, listener.computed))

        self._pre_hook: Any = register_optimizer_step_pre_hook(listener.before_step)
        self._post_hook: Any = register_optimizer_step_post_hook(listener.after_step)
        self._gradients = (("backward", backward, original), ("grad", grad, original_grad))
        self._listener = listener
        listener.on_idle = self._rest

    def _put(self, home: Any, name: str, wrapper: Any) -> None:
        self._restore.append((home, name, getattr(home, name), wrapper))
        setattr(home, name, wrapper)

    def _rest(self, idle: bool) -> None:
        """Step out of the way while the listener is idle: even a call that does nothing costs microseconds."""
        heard = self._listener.hearing
        for name, ours, bare in self._gradients:
            here, there = (ours, bare) if idle and not (name == "backward" and heard) else (bare, ours)
            if getattr(torch.autograd, name) is here:  # else somebody patched it on top
                setattr(torch.autograd, name, there)
        # What the handles know of their hooks' places is used, for making new handles takes a dozen microseconds.
        before, after = self._pre_hook.hooks_dict_ref(), self._post_hook.hooks_dict_ref()
        if idle:
            before.pop(self._pre_hook.id, None)
        else:
            before[self._pre_hook.id] = self._listener.before_step
        after[self._post_hook.id] = self._listener.tick if idle else self._listener.after_step

    def remove(self) -> None:
        """Restore what was patched, unless somebody patched it again on top."""
        self._listener.on_idle = None
        for home, name, original, wrapper in reversed(self._restore):
            if getattr(home, name) is wrapper:
                setattr(home, name, original)
        self._pre_hook.remove()
        self._post_hook.remove()
        self._restore = []


def _never_compile(function: Any, all_below: bool) -> None:
    """Let ``torch.compile`` pass over a function of ours when code that it compiled calls it: what is compiled believes
    to be in the middle of a trace, and sees nothing. ``all_below``: and over all that it calls.
    """
    home = getattr(torch._C._dynamo, "eval_frame", None)
    code = getattr(function, "__code__", None)
    try:
        skip, default = home._FrameAction.SKIP, home._FrameAction.DEFAULT  # type: ignore[union-attr]
        home.set_code_exec_strategy(code, home._FrameExecStrategy(skip, skip if all_below else default))  # type: ignore[union-attr]
    except (AttributeError, TypeError):  # an older PyTorch: such steps go uncounted
        pass


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


def closure_in(args: Any, kwargs: Any) -> Callable[..., Any] | None:
    """The closure that an optimiser's ``step`` was called with, if any; ``args`` begins with the optimiser."""
    given = args[1] if len(args) > 1 else kwargs.get("closure")
    return given if callable(given) else None


def with_closure(args: Any, kwargs: Any, closure: Callable[..., Any]) -> tuple[Any, Any]:
    """The arguments of a ``step`` with another closure in the place of its own."""
    if len(args) > 1:
        return (args[0], closure, *args[2:]), kwargs
    return args, {**kwargs, "closure": closure}


def followed(closure: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """The closure, and ``then`` is called each time it has returned."""

    @functools.wraps(closure)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        result = closure(*args, **kwargs)
        then()
        return result

    return evaluate
