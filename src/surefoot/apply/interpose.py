"""Puts cures in place: around optimisers' steps, before backwards, in functions of torch's, where optimisers are made.

Steps are met by PyTorch's global optimiser hooks. Ours stand outermost: what watches sees a step as the cure left it,
with the rate that it was taken with, and a scheduler sees the rate that it wrote.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from surefoot.apply.catalogue import KNOWN, parse
from surefoot.apply.cure import Cure, Desk
from surefoot.apply.doors import doors_for
from surefoot.apply.script_calls import stands_before
from surefoot.apply.settings import Choice
from surefoot.observe.budget import Budget
from surefoot.observe.by_hand import ByHand
from surefoot.observe.discover import census
from surefoot.observe.observer import Observer
from surefoot.observe.patches import Patches, closure_in, followed, with_closure


def make(choice: Choice, desk: Desk) -> Cure:
    """The cure that was asked for."""
    home, _, name = KNOWN[choice.id].home.partition(":")
    return getattr(import_module(f"surefoot.apply.{home}"), name)(desk, **dict(choice.settings))


class _Nobody:
    """Takes what a branch of the script sees; nobody is to know."""

    def row(self, *_: Any) -> None:
        """Drop it."""

    def event(self, *_: Any, **__: Any) -> None:
        """Drop it."""

    def flush(self) -> None:
        """There is nothing."""


class Interposer:
    """Cures in place until :meth:`remove`; in the order given at each moment of a step, and back when put back.

    Parameters
    ----------
    choices : what to apply
    desk : where cures tell what they did
    follows : whether an optimiser is to be changed; by default all are
    models : the modules that are trained, where that is known; else they are found from the optimisers
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        desk: Desk,
        follows: Callable[[Optimizer], bool] = lambda _: True,
        models: Sequence[nn.Module] | None = None,
    ) -> None:
        self._desk = desk
        self._follows = follows
        self._models = None if models is None else list(models)
        self.cures = [self._made(choice) for choice in choices]
        self._off: set[int] = set()  # ids of cures that failed
        self._steps = 0
        self._threads = threading.local()
        self._patched: list[tuple[Any, str, Any, Any]] = []
        self._doors = doors_for(choices, make)
        for choice in choices:
            self._tell(choice)
        self._handles: list[Any] = []
        self._put_in_place()
        if any(cure.wants_models for cure in self.cures):
            for optimizer in census().optimizers:  # made before the cures came
                self._met(optimizer)

    def _put_in_place(self) -> None:
        for door in self._doors:
            door.now = getattr(door.home, door.name)
            self._put(door.home, door.name, door.function)
        self._handles = [
            register_optimizer_step_pre_hook(self._begin),
            register_optimizer_step_post_hook(self._amend),
            register_optimizer_step_post_hook(self._end),
        ]
        _to_the_front(_global_optimizer_pre_hooks, self._handles[0])
        _to_the_front(_global_optimizer_post_hooks, self._handles[1])
        if self._any("at_backward"):
            self._put(torch.autograd, "backward", self._backward(torch.autograd.backward))
        for cure in self.cures:
            self._patch_for(cure)
        if any(cure.wants_models for cure in self.cures):
            self._put(Optimizer, "__init__", self._init(Optimizer.__init__))

    def _made(self, choice: Choice) -> Cure:
        cure = make(choice, self._desk)
        cure.models = self._models
        cure.reinstate, cure.add = self._reinstate, self._add
        return cure

    def _tell(self, choice: Choice) -> None:
        self._desk.tell("apply", id=choice.id, settings=dict(choice.settings))

    def _patch_for(self, cure: Cure) -> None:
        behind = {(id(door.home), door.name): door for door in self._doors if door.open}
        for home, name, wrap in cure.patches(functools.partial(self._unless_off, cure)):
            door = behind.get((id(home), name))
            if door is None:
                self._put(home, name, wrap(getattr(home, name)))
            else:
                self._put(door, "now", wrap(door.now))

    def _reinstate(self) -> None:
        self.remove()
        observer = Observer(_Nobody(), Budget(0.0, every=sys.maxsize))  # looks at nothing, and sees evaluations
        Patches(observer)
        self._desk = Desk(
            lambda *_, **__: None,
            self._desk.offset,
            observer.leave_out,
            observer.validation.told.append,
            observer.end_evaluation,
        )
        for cure in self.cures:
            cure.desk = self._desk
        self._put_in_place()

    def _add(self, text: str) -> None:
        choice = parse(text)
        self._tell(choice)
        cure = self._made(choice)
        self.cures.append(cure)
        self._patch_for(cure)

    def remove(self) -> None:
        """Take everything away."""
        for home, name, original, wrapper in reversed(self._patched):
            if getattr(home, name) is wrapper:  # unless somebody patched it again on top
                setattr(home, name, original)
        for handle in self._handles:
            handle.remove()
        self._patched, self._handles = [], []

    def close(self, step: int) -> None:
        """The run is over with ``step``: take everything away, and record what was done."""
        self.remove()
        self._each("at_close")
        if not self._steps:
            for cure in self.cures:
                if not cure.acted and not cure.noted and (_minds(cure, "at_gradients") or _minds(cure, "before_step")):
                    cure.note("no optimiser's step was met (one inside compiled code is not); nothing was changed")
        for cure in self.cures:
            self._guard(cure, cure.report, step)

    def summaries(self) -> dict[str, str]:
        """What each cure did, by its id."""
        return {cure.id: cure.told() for cure in self.cures}

    # ----------------------------------------------------------------------------------------------------------------

    def _any(self, moment: str) -> bool:
        return any(_minds(cure, moment) for cure in self.cures)

    def _each(self, moment: str, *args: Any, back: bool = False) -> None:
        for cure in reversed(self.cures) if back else self.cures:
            if id(cure) not in self._off:
                self._guard(cure, getattr(cure, moment), *args)

    def _guard(self, cure: Cure, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            self._off.add(id(cure))
            cure.stopped = " ".join(f"{type(error).__name__}: {error}".split())
            self._desk.tell("note", text=f"{cure.id} is not applied any more: {cure.stopped}")
            return None

    def _unless_off(self, cure: Cure, function: Callable[..., Any], *args: Any) -> Any:
        return None if id(cure) in self._off else self._guard(cure, function, *args)

    @property
    def _open(self) -> list[int]:
        """Optimisers whose step is running in this thread, outermost first."""
        stack: list[int] | None = getattr(self._threads, "open", None)
        if stack is None:
            stack = self._threads.open = []
        return stack

    def _begin(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if torch.compiler.is_compiling() or not self._follows(optimizer):
            return None
        stack = self._open
        if id(optimizer) in stack:  # its last step raised, so its end was never seen
            outermost = stack[0] == id(optimizer)
            del stack[stack.index(id(optimizer)) :]
            if outermost:
                self._each("restore", optimizer, back=True)
        stack.append(id(optimizer))
        if len(stack) > 1:
            return None
        self._steps += 1
        self._each("before_step", optimizer)
        closure = closure_in(args, kwargs)
        if closure is not None:
            at_gradients = functools.partial(self._each, "at_gradients", optimizer)
            return with_closure(args, kwargs, followed(closure, at_gradients))
        self._each("at_gradients", optimizer)
        return None

    def _amend(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not torch.compiler.is_compiling() and self._open[:1] == [id(optimizer)]:
            self._each("after_step", optimizer, back=True)

    def _end(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        stack = self._open
        if torch.compiler.is_compiling() or id(optimizer) not in stack:
            return
        del stack[stack.index(id(optimizer)) :]
        if not stack:
            self._each("restore", optimizer, back=True)

    def _met(self, optimizer: Optimizer) -> None:
        if self._follows(optimizer) and not isinstance(optimizer, ByHand):
            self._each("at_optimizer", optimizer)

    def _put(self, home: Any, name: str, wrapper: Any) -> None:
        stands_before(wrapper)
        self._patched.append((home, name, getattr(home, name), wrapper))
        setattr(home, name, wrapper)

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            if not torch.compiler.is_compiling():
                self._each("at_backward", tensors)
                for cure in self.cures:
                    if _minds(cure, "worth") and id(cure) not in self._off:
                        given = self._guard(cure, cure.worth, tensors)
                        tensors = tensors if given is None else given
            original(tensors, *args, **kwargs)

        return backward

    def _init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __init__(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            self._met(optimizer)

        return __init__


def _minds(cure: Cure, moment: str) -> bool:
    return getattr(type(cure), moment) is not getattr(Cure, moment)


def _to_the_front(hooks: Any, handle: Any) -> None:
    hooks.move_to_end(handle.id, last=False)  # torch keeps its global hooks in an OrderedDict
