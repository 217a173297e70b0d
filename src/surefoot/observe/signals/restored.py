"""Whether what an optimiser's steps do to a parameter is undone: it is put back before the next step, bit for bit.

A mask that is laid on after each step and writes old values, a copy that goes the wrong way, best weights that are
loaded again and again: the optimiser steps, and the parameter stays. Each look compares what its step begins with to
what the last look's step began with; a parameter that was moved there and is the same here has been put back.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument
from surefoot.observe.signals.gradients import parameters_of
from surefoot.observe.signals.phases import sample

_VALUES = 3  # sizes that what a step moved must have: what is clamped lies on a bound or two, and was not put back


@dataclass(slots=True)
class _Before:
    """A parameter at the last look: what its step began with, and whether that moved it (and not against a bound)."""

    ref: weakref.ref[Tensor]
    values: np.ndarray
    moved: bool


class Restored(Instrument):
    """Compares a few numbers of each parameter, before and after its step, with those of the look before."""

    name: ClassVar[str] = "restored parameters"

    def __init__(self, tools: Any) -> None:
        super().__init__(tools)
        self._past: dict[int, _Before] = {}
        self._held: dict[int, tuple[list[Tensor], Tensor]] = {}

    def withdraw(self) -> None:
        """Let go of steps that did not come to their end."""
        self._held.clear()

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """Copy a few numbers of all that this step may move."""
        models = self.tools.scene.models
        held = [p for p in parameters_of(optimizer) if p.grad is not None and models.place(p) is not None and p.numel()]
        if held and len({p.device for p in held}) == 1:
            self._held[id(optimizer)] = held, torch.cat([sample(p) for p in held])

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """See what was moved, and what had been put back."""
        held, before = self._held.pop(id(optimizer), ([], None))
        if before is None:
            return
        step, models = self.tools.scene.clock.steps, self.tools.scene.models
        parts = [sample(p) for p in held]
        ends = np.cumsum([len(part) for part in parts])[:-1]
        places = [models.place(p) for p in held]
        after, layers = torch.cat(parts), len(models.layers)

        def write(found: list[np.ndarray]) -> None:
            all_of, back = np.zeros(layers), np.zeros(layers)
            old, new = (np.split(values, ends) for values in found)
            for parameter, place, values, later in zip(held, places, old, new, strict=True):
                past = self._past.get(id(parameter))
                self._past[id(parameter)] = _Before(weakref.ref(parameter), values, _moved(values, later))
                all_of[place] += 1
                if past is not None and past.ref() is parameter and past.moved:
                    back[place] += np.array_equal(values, past.values)
            with np.errstate(invalid="ignore"):
                self.tools.rows.put_layers(step, "weights", restored_share=back / all_of)

        self.tools.ask(step, [before, after], write)


def _moved(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a step moved numbers of several sizes. Beside those on a bound there may be some that nothing moves."""
    return len(np.unique(np.abs(before[before != after]))) >= _VALUES
