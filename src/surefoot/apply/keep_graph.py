"""``keep-graph``: what cuts parameters of an optimiser off from every loss is passed over.

Which parameters these are the first steps of an optimiser show: they are held, trainable, and get no gradient while
others do; later, that they have had none for long. From then on ``detach()`` (or ``.data``) of a tensor that depends on
such parameters gives a copy that shows whether it is on the way of the loss that their own optimiser steps on. Where it
is, the graph is kept; any other (a target, a logged number, what a critic is given) is left alone. The same holds for a
tensor that is made anew of such a tensor, of a list of such, of its ``numpy()`` or of its ``tolist()``. ``with
torch.no_grad():`` inside of a forward leaves gradients on, if its lines only compute (nothing is changed in place), and
if that reaches them.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.apply.script_calls import by_the_script, caller, in_a_forward, only_computes
from surefoot.observe.graph import read_graph, roots_of

Place = tuple[str, int]  # file, line
_DECORATORS = "torch.utils._contextlib"  # where ``@torch.no_grad()`` enters
_STEPS = 2  # of an optimiser at which parameters have no gradient before they count as cut off
_LATE, _LONGER = 8, 4  # the same for those that had one: so many steps in a row, and so many times the longest before


@dataclass
class _Gap:
    """Steps in a row at which a parameter had no gradient."""

    now: int = 0
    longest: int = 0  # that ended
    had: bool = False

    def count(self, without: bool) -> None:
        """One more step."""
        if without:
            self.now += 1
        else:
            self.longest, self.now, self.had = max(self.longest, self.now), 0, True

    @property
    def cut_off(self) -> bool:
        """It has been long enough; those whose turn comes now and then, as experts' does, are not cut off."""
        return self.now >= (max(_LATE, _LONGER * self.longest) if self.had else _STEPS)


class KeepGraph(Cure):
    """Gives the tensor itself in the place of its detached copy."""

    id = "keep-graph"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        # of each optimiser, which a later stage may make anew: id of a parameter → how long it has had no gradient
        self._without: weakref.WeakKeyDictionary[Optimizer, dict[int, _Gap]] = weakref.WeakKeyDictionary()
        self._starved: set[int] = set()
        self._kept: dict[Any, Place] = {}  # graph node of what was given since the last step → where
        self._reached: set[Place] = set()  # that backwards since the last step went through
        self._backward = False  # there was one since the last step
        self._left: dict[int, tuple[Any, Tensor]] = {}  # id of an array or list → itself, and what it was read from
        self._places: dict[Place, bool] = {}  # → whether the loss goes through it; False: a detach is left alone
        self._opened: set[Place] = set()  # no_grad blocks that were passed over since the last step
        self._told: list[str] = []

    def at_gradients(self, optimizer: Optimizer) -> None:
        """Count which parameters have no gradient."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        backward, self._backward = self._backward, False
        self._settle(any(id(p) in self._starved for p in parameters))
        if not backward and all(p.grad is None for p in parameters):
            return
        if self._opened:
            self._judge(any(p.grad is not None and id(p) in self._starved for p in parameters))
        if self._starved:
            return
        gaps = self._without.setdefault(optimizer, {})
        for p in parameters:
            gaps.setdefault(id(p), _Gap()).count(p.grad is None)
        self._starved = {key for key, gap in gaps.items() if gap.cut_off}

    def _settle(self, starved: bool) -> None:
        """What backwards went through before this step was on the way of its loss, and the rest was not."""
        for place in self._reached if not starved else {*self._reached, *self._kept.values()}:
            self._decide(place, starved and place in self._reached)
        self._kept.clear()
        self._reached.clear()

    def _judge(self, reached: bool) -> None:
        """Gradients were left on in some blocks: has that reached the parameters?"""
        for place in self._opened:
            self._decide(place, reached)
        if reached:
            self.act()
        self._opened.clear()

    def _decide(self, place: Place, used: bool) -> None:
        if place not in self._places:
            self._places[place] = used
            if used:
                self._told.append(f"{PurePath(place[0]).name}:{place[1]}")

    def _left_open(self, frame: FrameType) -> bool:
        """Leave gradients on in a block of a forward, or a decorated method of it, that only computes."""
        decorated = frame.f_locals.get("func") if frame.f_globals.get("__name__") == _DECORATORS else None
        code = getattr(decorated, "__code__", None)
        place = (code.co_filename, code.co_firstlineno) if code else (frame.f_code.co_filename, frame.f_lineno)
        if not (code or by_the_script(frame)) or not self._places.get(place, True):
            return False
        if place not in self._places and not (in_a_forward(frame) and only_computes(*place)):
            return False
        self._opened.add(place)
        return True

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """The ways to cut."""
        for name in ("numpy", "tolist"):
            yield Tensor, name, functools.partial(self._leaving, guard)
        for name in ("tensor", "as_tensor", "from_numpy"):
            yield torch, name, functools.partial(self._coming_back, guard)
        yield Tensor, "detach", functools.partial(self._detaching, guard)
        yield Tensor, "data", functools.partial(self._reading, guard)
        yield Tensor, "detach_", functools.partial(self._detaching_in_place, guard)
        yield torch.no_grad, "__enter__", functools.partial(self._entering, guard)
        yield torch.set_grad_enabled, "__enter__", functools.partial(self._entering, guard)
        yield torch.inference_mode, "__enter__", functools.partial(self._inferring, guard)

    def _detaching(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def detach(tensor: Any) -> Any:
            if self._starved and tensor.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
                kept = guard(self._attached, tensor, caller())
                if kept is not None:
                    return kept
            return original(tensor)

        return detach

    def _leaving(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def read(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._starved or not tensor.requires_grad or torch.compiler.is_compiling():
                return original(tensor, *args, **kwargs)
            found = original(torch._C.TensorBase.detach(tensor), *args, **kwargs)
            guard(self._left.__setitem__, id(found), (found, tensor))
            return found

        return read

    def _coming_back(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def made(data: Any, *args: Any, **kwargs: Any) -> Any:
            if self._starved and torch.is_grad_enabled() and not torch.compiler.is_compiling():
                kept = guard(self._came_back, data, caller())
                if kept is not None:
                    dtype = args[0] if args else kwargs.get("dtype")
                    return kept.to(dtype=dtype, device=kwargs.get("device"))
            return original(data, *args, **kwargs)

        return made

    def _came_back(self, data: Any, frame: FrameType) -> Tensor | None:
        found, tensor = self._left.get(id(data), (None, None))
        tensor = data if isinstance(data, Tensor) else tensor if found is data else _stacked(data)
        if tensor is None or not tensor.requires_grad:
            return None
        if any(node in self._kept for node in read_graph([tensor]).nodes):
            return tensor.view_as(tensor)  # given at a detach() before
        return self._attached(tensor, frame)

    def _reading(self, guard: Callable[..., Any], original: Any) -> property:
        def data(tensor: Any) -> Any:
            return original.__get__(tensor)

        return property(self._detaching(guard, data), lambda tensor, value: original.__set__(tensor, value))

    def _entering(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __enter__(context: Any) -> None:
            original(context)
            asked = self._starved and context.prev and not torch.is_grad_enabled()
            if asked and not torch.compiler.is_compiling() and guard(self._left_open, caller()):
                torch.set_grad_enabled(True)  # what ends the block puts back what was before it

        return __enter__

    def _inferring(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __enter__(context: Any) -> None:
            asked = self._starved and context.mode and torch.is_grad_enabled() and not torch.compiler.is_compiling()
            if asked and guard(self._left_open, caller()):
                context.mode = False  # as if it were not there
            original(context)

        return __enter__

    def _detaching_in_place(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def detach_(tensor: Any) -> Any:
            asked = self._starved and torch.is_grad_enabled() and not torch.compiler.is_compiling()
            return tensor if asked and guard(self._left_attached, tensor, caller()) else original(tensor)

        return detach_

    def _left_attached(self, tensor: Tensor, frame: FrameType) -> bool:
        """No copy could tell whether the loss goes through it: that its parameters get a gradient does."""
        place = frame.f_code.co_filename, frame.f_lineno
        if not by_the_script(frame) or tensor.grad_fn is None or not self._places.get(place, True):
            return False
        if place not in self._places and not any(id(x) in self._starved for x in read_graph([tensor]).leaves):
            return False
        self._opened.add(place)
        return True

    def _attached(self, tensor: Tensor, frame: FrameType) -> Tensor | None:
        """The tensor, where a loss would not reach what made it."""
        place = frame.f_code.co_filename, frame.f_lineno
        if not by_the_script(frame) or tensor.grad_fn is None or not self._places.get(place, True):
            return None
        if place not in self._places and not any(id(x) in self._starved for x in read_graph([tensor]).leaves):
            return None
        known = place in self._places
        given = tensor.view_as(tensor) if known else torch._C.TensorBase.detach(tensor).requires_grad_().clone()
        self._kept[given.grad_fn] = place
        return given

    def at_backward(self, tensors: Any) -> None:
        """See through which of them the loss goes."""
        self._backward = True
        self._left.clear()
        if not self._kept or torch._C._current_graph_task_id() != -1:
            return
        nodes = set(read_graph(roots_of(tensors)).nodes)
        used = {place for node, place in self._kept.items() if node in nodes}
        self._reached |= used
        if any(self._places.get(place) for place in used):
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        self._kept.clear()
        self._left.clear()
        if not self.acted:
            self.note(
                "no detach(), .data, numpy(), no_grad() or inference_mode() was found between a loss and parameters "
                "without a gradient (.item() is not reached); nothing was changed"
            )

    def summary(self) -> str:
        """Where."""
        return f"kept the graph at {', '.join(self._told)}" if self._told else "kept no graph"


def _stacked(data: Any) -> Tensor | None:
    """What ``torch.tensor`` would make of nested lists, with the graph of the tensors in them; None without any."""
    if not isinstance(data, list | tuple) or not any(isinstance(x, list | tuple | Tensor) for x in data):
        return None
    parts = [x if isinstance(x, Tensor) else _stacked(x) for x in data]
    like = next((x for x in parts if x is not None and x.requires_grad), None)
    if like is None:
        return None
    number = like.detach()
    return torch.stack([number.new_tensor(x) if p is None else p for x, p in zip(data, parts, strict=True)])
