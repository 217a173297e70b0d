"""The scalars of a step: its loss as the script computed it, its learning rate; and whether the loss is odd."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Tools
from surefoot.observe.triggers import LossCourse, LossFalls, LossTrigger


class Scalars:
    """Adds up the losses of a step's backwards, and writes them with the rate once an optimiser steps on them.

    Parameters
    ----------
    tools : rows, the gradient scaler, how numbers are got
    odd : called with a loss and its value before its backward, where it is far above the run's past or not finite

    Attributes
    ----------
    backwards : how many there were since the last step
    rows : of scalars, written since this was set to 0
    """

    def __init__(self, tools: Tools, odd: Callable[[Tensor, float | None], None]) -> None:
        self.backwards = 0
        self.rows = 0
        self._tools, self._odd = tools, odd
        self._trigger, self._course, self._falls = LossTrigger(), LossCourse(), LossFalls()
        self._heard: list[float] = []  # losses of the idle steps since the last that was written
        self._each = 1  # backwards of a step, as that had
        self._partly = False  # some backwards of this step went by unread
        # By whose parameters alone the gradient was taken; None where that is not known, and for all of them together.
        self._loss: dict[int | None, float] = {}
        self._device_loss: dict[int | None, Tensor] = {}  # the same, where it can't be read without waiting

    def forget(self) -> None:
        """What was gathered belongs to no step that is still to come."""
        self._loss, self._device_loss, self.backwards, self._partly = {}, {}, 0, False

    def hear(self, tensors: Any) -> bool:
        """A backward begins in a step at which nothing else is due; whether its loss is odd. One on an accelerator
        can't be read without waiting, and is not heard."""
        if type(tensors) is not Tensor or not tensors.is_cpu or tensors.numel() != 1:
            return False
        if self._tools.scene.scaler is not None:
            return False  # what it is multiplied by changes
        value = tensors.item()
        if value <= self._trigger.limit:
            self._heard.append(value)
            return False
        return self._tools.later.immediate

    def resume(self) -> None:
        """The step under way was idle, and is no more: the losses of its backwards so far were heard."""
        self.forget()
        self.backwards = len(self._heard) % self._each
        if self.backwards:
            self._loss[None] = sum(self._heard[-self.backwards :])
        self._partly = len(self._tools.scene.clock.states) > 1

    def read(self, loss: Tensor, owner: Optimizer | None = None) -> None:
        """Take in the loss of a backward that begins, or of a gradient by the parameters of ``owner`` alone."""
        key = None if owner is None else id(owner)
        scale = self._tools.scene.loss_scale()
        if not loss.is_cpu or not self._tools.later.immediate:
            loss = loss.detach() if scale is None else loss.detach() / scale
            self._device_loss[key] = self._device_loss[key] + loss if key in self._device_loss else loss
            return
        factor = 1.0 if scale is None else scale.item()
        if not factor > 0:  # the scale itself has come down to zero: what the loss was is not known, but some of what
            self._tools.guard("loss", self._odd, loss, None)  # it was made of may still be seen to be no number
            return
        value = loss.item() / factor
        self._loss[key] = self._loss.get(key, 0.0) + value
        if not value <= self._trigger.limit or math.isinf(value):
            self._tools.guard("loss", self._odd, loss, value)

    def scaled_by(self, scaler: Any) -> None:
        """A gradient scaler is met only now: what was read of this step was multiplied by its scale."""
        self._loss = {key: loss / float(scaler._scale) for key, loss in self._loss.items()}
        self._device_loss = {key: loss / scaler._scale for key, loss in self._device_loss.items()}

    def write(self, optimizer: Optimizer, state: OptimizerState, constant_loss: Tensor | None) -> None:
        """An optimiser has stepped on what was gathered."""
        rows, step = self._tools.rows, self._tools.scene.clock.steps
        for heard in self._heard:
            self._learn_one(heard)
        self._heard.clear()
        # of several players it is not known whose loss is whose
        self._each = max(1, self.backwards) if len(self._tools.scene.clock.states) == 1 else 1
        loss = self._loss.get(id(optimizer), self._loss.get(None))
        device_loss = self._device_loss.get(id(optimizer), self._device_loss.get(None))
        if self._partly and loss is None and device_loss is None:
            return  # it had one, and a row without it would say that it was NaN
        rate = _highest_rate(optimizer)
        values = {"learning_rate": rate}
        asked: dict[str, Tensor] = {}
        if isinstance(rate, Tensor):
            asked["learning_rate"] = rate
        if loss is not None:
            values["loss"] = loss
            self._learn(step, loss / max(1, self.backwards))
        elif device_loss is not None:
            asked["loss"] = device_loss
        if constant_loss is not None:
            asked["constant_loss"] = constant_loss
        self.rows += 1
        if not asked:
            rows.put(step, "step", state.name, **values)
            return
        backwards = max(1, self.backwards)

        def write(found: list[np.ndarray]) -> None:
            numbers = dict(zip(asked, map(float, found), strict=True))
            rows.put(step, "step", state.name, **{**values, **numbers})
            if "loss" in asked:
                self._late(step, numbers["loss"] / backwards)

        self._tools.ask(step, list(asked.values()), write)

    def _late(self, step: int, loss: float) -> None:
        """A device's loss has come: the step it was of is over, so that no culprit can be sought any more."""
        if not loss <= self._trigger.limit or math.isinf(loss):
            self._tools.budget.burst(lasting=True)
            if not math.isfinite(loss) and not self._tools.scene.nonfinite_told:
                self._tools.scene.nonfinite_told = True
                self._tools.tell("nonfinite", kind="loss", where="", operation="", value=as_text(loss))
        self._learn(step, loss)

    def _learn(self, step: int, loss: float) -> None:
        self._learn_one(loss)
        if self._course.learn(step, loss):
            self._tools.budget.burst()

    def _learn_one(self, loss: float) -> None:
        self._trigger.learn(loss)
        if self._falls.learn(loss):
            self._tools.budget.burst(lasting=True)


def _highest_rate(optimizer: Optimizer) -> Any:
    """The learning rate of the parameter group with the highest: how long steps can be."""
    groups = optimizer.param_groups
    if len(groups) == 1:
        return groups[0].get("lr", math.nan)
    rates = [group["lr"] for group in groups if "lr" in group]
    tensors = [rate for rate in rates if isinstance(rate, Tensor)]
    if not tensors:
        return max(rates, default=math.nan)
    return torch.stack([torch.as_tensor(r, device=tensors[0].device, dtype=tensors[0].dtype) for r in rates]).max()


def as_text(value: float) -> str:
    """How an event tells a loss that is not finite."""
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
