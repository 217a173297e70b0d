"""The validation loss of a script that evaluates its model as it goes: seen, not asked for.

``nn.Module.eval`` tells when an evaluation begins. From then on the loss functions of ``torch.nn.functional`` are
wrapped, until the next loss that takes a gradient; what they give without one, while a trained model is in evaluation
mode, is averaged over its rows. While training goes on nothing is wrapped.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


@dataclass(slots=True)
class _Sum:
    """Losses so far, weighted by rows."""

    total: float | Tensor = 0.0
    rows: int = 0


class Validation:
    """Averages the losses of evaluation phases.

    Parameters
    ----------
    scene : whose models are trained
    rows : takes ``validation_loss``, of the last step before the evaluation, under the loss function's name
    later : how numbers are got from devices
    guard : runs a function of ours inside one of the script's
    """

    def __init__(self, scene: Scene, rows: Rows, later: Later, guard: Callable[..., Any]) -> None:
        self.open = False
        self._scene, self._rows, self._later, self._guard = scene, rows, later, guard
        self._home = 0  # the thread that evaluates
        self._wrappers: dict[str, tuple[Any, Any]] = {}  # name → what was there, what is there now
        self._parts: list[dict[str, _Sum]] = []

    def begin(self) -> None:
        """The script has called ``eval()`` on some module."""
        if not self._evaluating():
            return
        if not self._parts or self._parts[-1]:
            self._parts.append({})
        if not self.open:
            self.open, self._home = True, threading.get_ident()
            for name in LOSSES:
                original = getattr(F, name)
                wrapper = self._wrap(name, original)
                self._wrappers[name] = (original, wrapper)
                setattr(F, name, wrapper)

    def end(self) -> None:
        """Training goes on, or the run is over: write down the averages."""
        if not self.open:
            return
        self.take_off()
        parts, self._parts = [part for part in self._parts if part], []
        if len(parts) > _PARTS:  # evaluated batch by batch
            parts = [_merged(parts)]
        step = self._scene.clock.steps
        for number, part in enumerate(parts, 1):
            for name, loss in part.items():
                self._write(step, name if number == 1 else f"{name} ({number})", loss)

    def take_off(self) -> None:
        """Leave nothing on ``torch.nn.functional``."""
        self.open = False
        for name, (original, wrapper) in self._wrappers.items():
            if getattr(F, name) is wrapper:
                setattr(F, name, original)
        self._wrappers.clear()

    def _evaluating(self) -> bool:
        """Some model that is trained is in evaluation mode; none is compiled (it would be compiled again)."""
        roots = self._scene.models.roots
        modules = [module for root in roots if (module := root.module()) is not None]
        return any(not m.training for m in modules) and not any(root.compiled for root in roots)

    def _wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def loss(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if self.open and not torch.compiler.is_compiling():
                self._guard("validation", self._take, name, args, kwargs, result)
            return result

        return loss

    def _take(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        if type(result) is not Tensor or result.is_meta or threading.get_ident() != self._home:
            return
        if torch.is_grad_enabled():
            if result.requires_grad:
                self.end()
            return
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return
        if not self._evaluating():
            self.end()
            return
        given = args[0] if args else kwargs["input"]
        rows = len(given) if given.dim() else 1
        if not rows or not result.numel():
            return
        value = result.detach()
        value = value if kwargs.get("reduction") == "sum" and not value.dim() else value.mean() * rows
        add: float | Tensor = value.item() if value.is_cpu and self._later.immediate else value.float()
        kept = self._parts[-1].setdefault(name, _Sum())
        kept.total, kept.rows = kept.total + add, kept.rows + rows

    def _write(self, step: int, where: str, loss: _Sum) -> None:
        if not isinstance(loss.total, Tensor):
            self._rows.put(step, "validation", where, validation_loss=loss.total / loss.rows)
            return
        self._rows.hold(step)

        def write(found: list[np.ndarray]) -> None:
            self._rows.release(step)
            self._rows.put(step, "validation", where, validation_loss=float(found[0]) / loss.rows)

        self._later.ask([loss.total], write)


def _merged(parts: list[dict[str, _Sum]]) -> dict[str, _Sum]:
    merged: dict[str, _Sum] = {}
    for part in parts:
        for name, loss in part.items():
            kept = merged.setdefault(name, _Sum())
            kept.total, kept.rows = kept.total + loss.total, kept.rows + loss.rows
    return merged


def wrap_eval(original: Callable[..., nn.Module], told: Callable[[], None]) -> Callable[..., nn.Module]:
    """``nn.Module.eval`` that also tells; straight through while compiling."""

    @functools.wraps(original)
    def eval(self: nn.Module) -> nn.Module:
        result = original(self)
        if not torch.compiler.is_compiling():
            told()
        return result

    return eval
