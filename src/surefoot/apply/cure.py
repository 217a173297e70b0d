"""What a remedy in a running script is made of: a cure, called at the moments of a training step.

A cure puts a part of ``optim``, ``losses`` or ``init`` in place; it holds no formula. Its methods are guarded: an
exception of ours turns this cure off, told once, and the script goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.discover import census, find_models


@dataclass(frozen=True)
class Desk:
    """Where a cure tells what it did.

    Attributes
    ----------
    tell : ``tell(kind, **data)`` records an event of the step under way; a ``note`` is told on stderr too
    offset : steps of a continued run that were taken before this process
    leave_out : the loss of the step under way is none of the run's, for the step is not taken
    listen : ``listen(told)`` has ``told(name, loss)`` called with each validation loss of the script's, once it is
        complete
    evaluated : an evaluation that is open is over, for a step begins
    """

    tell: Callable[..., None]
    offset: int = 0
    leave_out: Callable[[], None] = lambda: None
    listen: Callable[[Callable[[str, float], None]], None] = lambda _: None
    evaluated: Callable[[], None] = lambda: None


Patch = tuple[Any, str, Callable[[Any], Any]]
"""Where a function of torch's is, its name, and what makes of it the one that takes its place."""


class Cure:
    """One remedy in place. What does not apply to it is left as it is.

    Attributes
    ----------
    id : what ``--apply`` calls it
    acted : steps (or calls) at which it changed something
    compiled : it is part of compiled code, too, where nothing can be counted
    stopped : why it is off, if it failed
    models : the modules that are trained, where the user has named them
    """

    id: ClassVar[str]
    wants_models: ClassVar[bool] = False
    """Optimisers are told of when they are made (:meth:`at_optimizer`), before the first forward."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.acted = 0
        self.compiled = False
        self.stopped = ""
        self.models: list[nn.Module] | None = None
        self.noted: set[str] = set()
        self.reinstate: Callable[[], None] = lambda: None
        """Puts all cures in place again, telling nobody: for a process that was forked, where they are taken away."""
        self.add: Callable[[str], None] = lambda _: None
        """Puts another cure in place, behind all others, as ``--apply`` would."""

    def patches(self, guard: Callable[..., Any]) -> Iterable[Patch]:
        """Functions of torch's that it stands before.

        ``guard(function, *args)`` runs one of ours inside of them: None where it fails, or has failed before.
        """
        return ()

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """An optimiser was made; its groups are complete."""

    def at_backward(self, tensors: Any) -> None:
        """A backward of the script's begins, from ``tensors``."""

    def worth(self, tensors: Any) -> Any:
        """What the backward is to begin from: of the same gradients, and of the value that is really lowered, for those
        who watch; None: from ``tensors``. Called after all :meth:`at_backward`."""
        return None

    def before_step(self, optimizer: Optimizer) -> None:
        """An outermost step of an optimiser begins."""

    def at_gradients(self, optimizer: Optimizer) -> None:
        """The gradients of a step are complete: as it begins, or each time that its closure has computed them."""

    def after_step(self, optimizer: Optimizer) -> None:
        """The step is over, and nobody else has been told: it may still be amended."""

    def restore(self, optimizer: Optimizer) -> None:
        """Everybody has been told of the step: put back what was changed for its length."""

    def at_close(self) -> None:
        """The run is over."""

    def summary(self) -> str:
        """What it did, as one sentence without a full stop."""
        return "did nothing"

    def act(self) -> None:
        """It changed something at this step: told at the first, second, fourth, … of them, and at the end."""
        if torch.compiler.is_compiling():
            self.compiled = True
            return
        self.acted += 1
        if self.acted & (self.acted - 1) == 0:
            self.report()

    @property
    def in_compiled_code(self) -> str:
        """To be added to what was counted."""
        return ", and in compiled code" if self.compiled else ""

    def report(self, step: int | None = None) -> None:
        """Record what was done so far; of the step under way, or of ``step``."""
        self.desk.tell("applied", at=step, id=self.id, text=self.told(), count=self.acted)

    def told(self) -> str:
        """What it did, and why it does no more if it does not."""
        return f"{self.summary()}; it failed and was turned off ({self.stopped})" if self.stopped else self.summary()

    def note(self, text: str) -> None:
        """Tell something once, on stderr and in the record."""
        if text not in self.noted:
            self.noted.add(text)
            self.desk.tell("note", text=f"{self.id}: {text}")


class ModelCure(Cure):
    """A cure of the models that optimisers train: :meth:`met` is called with each, before its first forward.

    Compiled models are left out: hooks on them would be compiled too, or not be called.
    """

    wants_models = True

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.trained: list[nn.Module] = []

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Find the models that it trains."""
        modules = census().modules if self.models is None else [m for top in self.models for m in top.modules()]
        held = [p for group in optimizer.param_groups for p in group["params"]]
        for root in find_models(modules, [*held, *self.also_trained(modules)]).roots:
            model = root.module()
            if model is None or root.compiled or any(model is known for known in self.trained):
                continue
            self.trained.append(model)
            self.met(model)

    def also_trained(self, modules: Iterable[nn.Module]) -> list[Tensor]:
        """Parameters that are trained though no optimiser holds them."""
        return []

    def met(self, model: nn.Module) -> None:
        """A model that is trained, met for the first time."""

    @property
    def training(self) -> bool:
        """Whether this moment is one of training: gradients are on, and no model is in evaluation mode."""
        return torch.is_grad_enabled() and all(model.training for model in self.trained)


def trains(value: Any) -> bool:
    """Whether a gradient is asked for: a tensor of training, and not of an evaluation."""
    return isinstance(value, Tensor) and torch.is_grad_enabled() and value.requires_grad


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """The parameters of an optimiser that have a gradient."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def gradient_scale(optimizer: Optimizer) -> float:
    """What gradients are still multiplied by inside a step: fused optimisers take a gradient scaler's factor out
    themselves."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)
