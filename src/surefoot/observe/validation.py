"""The validation loss of a script that evaluates its model as it goes: seen, not asked for.

The loss functions of ``torch.nn.functional`` are wrapped. What they give without a gradient is a validation loss if

* the script has said so: ``nn.Module.eval`` was called, and a trained model is in evaluation mode; or
* it is the loss that the script trains with, by function and by the kind of targets, of *other* targets than those of
  the training steps before and after. A loss of the same targets is the training loss, logged; and in a game of several
  optimisers, or inside of a step, a loss without a gradient may be anything.

Losses are averaged over their rows, from the first to the next loss that takes a gradient. A script that never computes
one without a gradient pays one comparison a loss: what is trained on is kept only once it has.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.observe.guard import Guard
from surefoot.observe.home import Home
from surefoot.observe.later import Later
from surefoot.observe.rows import Rows
from surefoot.observe.scene import Scene

LOSSES = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
)
_PARTS = 4  # evaluations in one phase that are told apart (on training data, then on validation data)
_KEPT = 4  # targets of each function that are compared with: of several heads, of a batch in several parts
_MAX_TARGETS = 1 << 20  # elements; larger ones are not kept
_transformed = torch._C._functorch.peek_interpreter_stack


@dataclass(slots=True)
class _Sum:
    """Losses so far, weighted by rows."""

    total: float | Tensor = 0.0
    rows: int = 0


_Part = dict[str, _Sum]  # by the loss function's name


class Validation:
    """Averages the losses of evaluation phases.

    Parameters
    ----------
    scene : whose models are trained
    home : in which thread
    rows : takes ``validation_loss``, of the last step before the evaluation, under the loss function's name
    later : how numbers are got from devices
    guard : runs a function of ours inside one of the script's

    Attributes
    ----------
    on : False once the run is over
    open : whether an evaluation is under way
    listening : whether losses that take a gradient are to be told
    told : functions ``(name, loss)`` that are called with each validation loss as soon as it is complete; one waits for
        the device then
    """

    def __init__(self, scene: Scene, home: Home, rows: Rows, later: Later, guard: Guard) -> None:
        self.on = True
        self.open = self.listening = False
        self._scene, self._home, self._rows, self._later, self._guard = scene, home, rows, later, guard
        self.told: list[Callable[[str, float], None]] = []
        self._announced = False  # by eval()
        self._unannounced = False  # a loss without a gradient was met that was not
        self._trained: dict[str, deque[Tensor]] = {}  # newest targets that were trained on, by function
        self._parts: list[_Part] = []
        # of a phase that was not announced, the newest loss: the next step's targets decide whether it is one
        self._newest: tuple[str, Tensor | None, _Sum] | None = None

    def begin(self) -> None:
        """The script has called ``eval()`` on some module."""
        if not self._evaluating():
            return
        self._keep_newest()
        if not self._parts or self._parts[-1]:
            self._parts.append({})
        self.open = self.listening = self._announced = True

    def end(self, name: str = "", targets: Tensor | None = None) -> None:
        """Training goes on, with a loss of these targets, or the run is over: write down the averages."""
        if not self.open:
            return
        if self._newest is not None and self._newest[0] == name and _same(self._newest[1], targets):
            self._newest = None  # the loss of the next step, computed twice
        self._keep_newest()
        parts, self._parts = [part for part in self._parts if part], []
        self.open = self._announced = False
        self.listening = self._unannounced
        if len(parts) > _PARTS:  # evaluated batch by batch
            parts = [_merged(parts)]
        step = self._scene.clock.steps
        written: dict[str, int] = {}
        for part in parts:
            for function, loss in part.items():
                number = written[function] = written.get(function, 0) + 1
                self._write(step, function if number == 1 else f"{function} ({number})", loss)

    def stop(self) -> None:
        """Take no more."""
        self.on = self.open = self.listening = self._announced = False
        self._trained.clear()
        self._parts, self._newest = [], None

    def trained(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """A loss function was called while gradients are taken."""
        if type(result) is Tensor and result.requires_grad and self._is_the_scripts():
            targets = _kept(args[1] if len(args) > 1 else kwargs.get("target"))
            if self.open:
                self._guard("validation", self.end, name, targets)
            if targets is not None:
                self._trained.setdefault(name, deque(maxlen=_KEPT)).append(targets)

    def evaluated(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """A loss function was called while no gradients are taken."""
        if self.on and self._is_the_scripts():
            if not self._announced:
                self._unannounced = self.listening = True
            if self._announced or name in self._trained:
                self._guard("validation", self._take, name, args, kwargs, result)

    def _is_the_scripts(self) -> bool:
        """Whether the call is one of the script's own, of plain numbers, in the thread that trains."""
        return self._home.known_here() and not self._guard.working and _transformed() is None

    def _evaluating(self) -> bool:
        """Some model that is trained is in evaluation mode."""
        modules = [module for root in self._scene.models.roots if (module := root.module()) is not None]
        return any(not m.training for m in modules)

    def _take(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        if type(result) is not Tensor or result.is_meta:
            return
        targets = _kept(args[1] if len(args) > 1 else kwargs["target"])
        if self._announced and not self._evaluating():
            self.end()
        if not self._announced and not self._other_data(name, targets):
            return
        given = args[0] if args else kwargs["input"]
        rows = len(given) if given.dim() else 1
        if not rows or not result.numel():
            return
        value = result.detach()
        value = value if kwargs.get("reduction") == "sum" and not value.dim() else value.mean() * rows
        add: float | Tensor = value.item() if value.is_cpu and self._later.immediate else value.float()
        if self._announced:
            _add(self._parts[-1], name, _Sum(add, rows))
            return
        self._keep_newest()
        self.open = True
        self._newest = name, targets, _Sum(add, rows)

    def _other_data(self, name: str, targets: Tensor | None) -> bool:
        """Whether these are targets of the kind that is trained on, but none of those."""
        clock, trained = self._scene.clock, self._trained.get(name)
        if not trained or targets is None or clock.inside_step or len(clock.states) != 1:
            return False
        alike = any(targets.dtype == t.dtype and targets.shape[1:] == t.shape[1:] for t in trained)
        return alike and not any(_same(t, targets) for t in trained)

    def _keep_newest(self) -> None:
        """The newest loss of a phase that was not announced is one of validation: a part, as long as parts are few."""
        if self._newest is None:
            return
        name, _, loss = self._newest
        self._newest = None
        if len(self._parts) > _PARTS:
            _add(self._parts[-1], name, loss)
        else:
            self._parts.append({name: loss})

    def _write(self, step: int, where: str, loss: _Sum) -> None:
        for told in self.told:
            told(where, float(loss.total) / loss.rows)
        if not isinstance(loss.total, Tensor):
            self._rows.put(step, "validation", where, validation_loss=loss.total / loss.rows)
            return
        self._rows.hold(step)

        def write(found: list[np.ndarray]) -> None:
            self._rows.release(step)
            self._rows.put(step, "validation", where, validation_loss=float(found[0]) / loss.rows)

        self._later.ask([loss.total], write)


def _kept(targets: Any) -> Tensor | None:
    """Targets that can be kept to be compared: small ones, and without a graph behind them."""
    plain = type(targets) is Tensor and not targets.requires_grad and 0 < targets.numel() <= _MAX_TARGETS
    return targets if plain else None


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two targets are the same numbers, or share some in memory.

    On an accelerator memory alone tells: to compare numbers would be to wait for them.
    """
    if a is None or b is None:
        return False
    return _overlap(a, b) or (a.is_cpu and b.is_cpu and a.shape == b.shape and torch.equal(a, b))


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether the memory that two tensors span has a part in common."""
    if a.device != b.device or a.layout != torch.strided or b.layout != torch.strided:
        return False
    (a_begin, a_end), (b_begin, b_end) = _span(a), _span(b)
    return a_begin < b_end and b_begin < a_end


def _span(tensor: Tensor) -> tuple[int, int]:
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    begin = tensor.data_ptr()
    return begin, begin + (last + 1) * tensor.element_size()


def _add(part: _Part, name: str, loss: _Sum) -> None:
    kept = part.setdefault(name, _Sum())
    kept.total, kept.rows = kept.total + loss.total, kept.rows + loss.rows


def _merged(parts: list[_Part]) -> _Part:
    merged: _Part = {}
    for part in parts:
        for name, loss in part.items():
            _add(merged, name, loss)
    return merged


def wrap_loss(
    original: Callable[..., Any], validation: Validation, computed: Callable[[Any], None]
) -> Callable[..., Any]:
    """A loss function that also tells; ``computed`` takes each loss of which a gradient may be taken.

    Compiled and scripted code gets the original, by the mark that PyTorch's own wrappers bear for its compilers.
    """
    name, grad_enabled = original.__name__, torch.is_grad_enabled

    @functools.wraps(original)
    def loss(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if not grad_enabled():
            validation.evaluated(name, args, kwargs, result)
            return result
        computed(result)
        if validation.listening:
            validation.trained(name, args, kwargs, result)
        return result

    loss.__original_fn = original  # type: ignore[attr-defined]
    loss.__script_if_tracing_wrapper = True  # type: ignore[attr-defined]
    return loss


def wrap_eval(original: Callable[..., nn.Module], told: Callable[[], None]) -> Callable[..., nn.Module]:
    """``nn.Module.eval`` that also tells; straight through while compiling."""

    @functools.wraps(original)
    def eval(self: nn.Module) -> nn.Module:
        result = original(self)
        if not torch.compiler.is_compiling():
            told()
        return result

    return eval
