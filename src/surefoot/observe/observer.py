"""Watches one process's training loop: counts its steps, reads its loss, and decides which steps to look at.

The entry points are called by :mod:`surefoot.observe.patches`. None of them raises, and each accounts for its own time.
They run at every step of the script, so they do as little as they can; what a look does is in ``gather.py``.
A step's values are gathered until an optimiser steps, for only then it is known whose step it was.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.budget import Budget
from surefoot.observe.clock import OptimizerState
from surefoot.observe.culprit import find_culprit
from surefoot.observe.gather import Gatherer
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.instrument import Tools
from surefoot.observe.later import Later
from surefoot.observe.rows import Rows, Sink
from surefoot.observe.scene import Scene
from surefoot.observe.signals.loss import loss_tensor
from surefoot.observe.triggers import LossTrigger

FLUSH_EVERY = 1.0  # seconds between commits; one costs a millisecond or two
_now = time.perf_counter
_thread = threading.get_ident
_compiling = torch.compiler.is_compiling


class Observer:
    """Watches training in the thread that makes it.

    Parameters
    ----------
    sink : takes finished rows and events
    budget : decides which steps are looked at
    means : force one means of looking at activations; None takes the first that serves
    models : watch these modules only (None: whatever the script trains)
    optimizers : follow these optimisers only (None: all)
    later : how numbers are got from devices (None: as the device allows)
    """

    def __init__(
        self,
        sink: Sink,
        budget: Budget,
        means: str | None = None,
        models: Sequence[nn.Module] | None = None,
        optimizers: Sequence[Optimizer] | None = None,
        later: Later | None = None,
    ) -> None:
        self.budget = budget
        self.on = True
        self._sink = sink
        self._rows = Rows(sink)
        self._scene = Scene(self._rows, self.tell, models, optimizers)
        self.clock = self._scene.clock
        self._later = later if later is not None else Later()
        self._gatherer = Gatherer(Tools(self._scene, self._rows, self._later, budget, self.tell, self._guard), means)
        self._probes = self._gatherer.probes
        self._home = _thread()
        self._off: set[str] = set()  # signals that failed once

        self._looking = False  # at the step that is under way
        # Scalars are read, and accounts settled, at every `_stride`-th step: at the end of step `_due`. Until then the
        # observer is idle: it counts steps and does nothing else.
        self._due = 1
        self._stride = 1
        self.idle = False
        self.on_idle: Callable[[bool], None] | None = None
        self._nested = False  # some optimiser steps another: every begin and end must be seen to tell which counts
        self._main: OptimizerState | None = None  # whose count is the run's
        self._main_id = 0
        self._trigger = LossTrigger()
        # since the last optimiser step
        self._loss: float | None = None
        self._device_loss: Tensor | None = None  # the same, where it can't be read without waiting
        self._backwards = 0
        self._may_skip = False  # a gradient scaler was asked to step, and no step has come of it so far
        # since the accounts were last settled
        self._own = 0.0  # seconds of ours
        self._settled_at = math.nan
        self._settled_step = 0
        self._last_flush = _now()
        self._scalars = 0  # rows of scalars since the last flush
        self._arm(1)

    @property
    def looks(self) -> dict[str, int]:
        """How many looks at activations went by each means."""
        return self._gatherer.looks

    # -- entry points, at every step ---------------------------------------------------------------------------------

    def before_backward(self, tensors: Any) -> None:
        """The script is about to run a backward."""
        if self.idle or not self.on or _thread() != self._home:
            return
        try:
            if self._may_skip:
                # the scaler skipped the step, for some gradient was not finite: what was gathered belongs to none
                self._loss, self._device_loss, self._backwards, self._may_skip = None, None, 0, False
            self._backwards += 1
            if self._looking or self._probes:
                self._look_at_backward(tensors)  # first, for it may find a scaler that the loss was multiplied by
            loss = loss_tensor(tensors)
            if loss is not None:
                self._read_loss(loss)
        except Exception as error:
            self._fail("loss", error)

    def after_backward(self) -> None:
        """The script's backward is over."""
        if self._probes and self.on and _thread() == self._home:
            start = _now()
            for probe in self._probes.values():
                self._guard("wiring", probe.after_backward)
            self._own += _now() - start

    def before_clip(self, parameters: Any) -> None:
        """The script is about to clip gradients."""
        if self._looking and self.on and not self.clock.inside_step and _thread() == self._home:
            start = _now()
            given = [parameters] if isinstance(parameters, Tensor) else parameters
            self._guard("gradients", self._gatherer.at_clip, given)
            self._own += _now() - start

    def scaled_by(self, scaler: Any) -> None:
        """A gradient scaler is about to step an optimiser."""
        self._scene.scaler = scaler
        self._may_skip = True

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step begins (a global step pre-hook)."""
        if _compiling() or self.idle or not self.on or _thread() != self._home or not self._scene.follows(optimizer):
            return
        if not self.clock.enter(optimizer):
            self._nested = True
        elif self._looking:
            start = _now()
            self._guard("clock", self._look_at_step, optimizer)
            self._own += _now() - start

    def after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step is over (a global step post-hook)."""
        if _compiling():
            return
        if self.idle and id(optimizer) == self._main_id:
            # the path of most steps where steps are short: count, and see whether the next one is due
            main = self._main
            count = main.count = self.clock.steps = main.count + 1  # type: ignore[union-attr]
            if count + 1 >= self._due:
                self._set_idle(False)
            return
        if not self.on or _thread() != self._home or not self._scene.follows(optimizer):
            return
        try:
            if self.idle:
                if self.clock.tick(self._scene.state_of(optimizer)):
                    self._main, self._main_id = self._scene.state_of(optimizer), id(optimizer)
                    self._set_idle(self.clock.steps + 1 < self._due)
            elif self.clock.leave(optimizer):
                self._end_step(optimizer, _now())
        except Exception as error:
            self._fail("clock", error)

    def close(self) -> None:
        """Hand over what is gathered and leave no hook behind."""
        if self.on:
            self._guard("activations", self._gatherer.withdraw)
            self._guard("record", self._later.drain)
            self._guard("record", self._rows.complete, None)
        self.drop()

    def drop(self) -> None:
        """Stop at once, touching nothing."""
        self.on = False
        self._set_idle(False)

    def catch_up(self) -> None:
        """Hand over all steps but the newest, which may still grow."""
        if self.on:
            self._flush(_now(), self.clock.steps)

    # -- one step ----------------------------------------------------------------------------------------------------

    def _read_loss(self, loss: Tensor) -> None:
        scale = self._scene.loss_scale()
        if not loss.is_cpu or not self._later.immediate:
            loss = loss.detach() if scale is None else loss.detach() / scale
            self._device_loss = loss if self._device_loss is None else self._device_loss + loss
            return
        value = loss.item() if scale is None else loss.item() / scale.item()
        self._loss = value if self._loss is None else self._loss + value
        if not value <= self._trigger.limit or value == math.inf:
            self._odd_loss(loss, value)

    def _look_at_backward(self, tensors: Any) -> None:
        start = _now()
        if self._looking and self._backwards == 1:
            self._gatherer.at_backward(tensors)
        for probe in self._probes.values():
            self._guard("wiring", probe.before_backward)
        self._own += _now() - start

    def _look_at_step(self, optimizer: Optimizer) -> None:
        self._scene.state_of(optimizer)  # its parameters must be known before they are read
        self._gatherer.at_step_begin(optimizer)

    def _end_step(self, optimizer: Optimizer, now: float) -> None:
        """The slow path: something is due at the end of this step, or it is not the main optimiser's."""
        self._may_skip = False
        state = self.clock.known(optimizer) or self._scene.state_of(optimizer)
        ticked = self.clock.tick(state)
        due = self.clock.steps >= self._due
        if self._looking or due:
            self._write_scalars(optimizer, state)
        if self._probes:
            probe = self._probes.pop(id(optimizer), None)
            if probe is not None:
                self._guard("wiring", self._gatherer.harvest, probe, state)
        if self._looking:
            self._gatherer.at_step_end(optimizer, state, self._backwards)
        self._loss = self._device_loss = None
        self._backwards = 0
        if ticked:
            if state is not self._main:
                self._main, self._main_id = state, id(optimizer)
            if due:
                self._settle(state.count, now)
                return
            self._rest(state.count + 1)
        self._own += _now() - now

    def _write_scalars(self, optimizer: Optimizer, state: OptimizerState) -> None:
        step = self.clock.steps
        rate = optimizer.param_groups[0].get("lr", math.nan)
        values = {"learning_rate": rate}
        asked: dict[str, Tensor] = {}
        if isinstance(rate, Tensor):
            asked["learning_rate"] = rate
        if self._loss is not None:
            values["loss"] = self._loss
            self._trigger.learn(self._loss / max(1, self._backwards))
        elif self._device_loss is not None:
            asked["loss"] = self._device_loss
        if self._gatherer.constant_loss is not None:
            asked["constant_loss"] = self._gatherer.constant_loss
        self._scalars += 1
        if not asked:
            self._rows.put(step, "step", state.name, **values)
            return
        backwards = max(1, self._backwards)
        self._rows.hold(step)

        def write(found: list[np.ndarray]) -> None:
            self._rows.release(step)
            numbers = dict(zip(asked, map(float, found), strict=True))
            self._rows.put(step, "step", state.name, **{**values, **numbers})
            if "loss" in asked:
                self._late_loss(step, numbers["loss"] / backwards)

        self._later.ask(list(asked.values()), write)

    def _late_loss(self, step: int, loss: float) -> None:
        """A device's loss has come: the step it was of is over, so that no culprit can be sought any more."""
        if not loss <= self._trigger.limit or loss == math.inf:
            self.budget.burst()
            if not math.isfinite(loss) and not self._scene.nonfinite_told:
                self._scene.nonfinite_told = True
                self._sink.event(
                    self.clock.steps + 1, "nonfinite", kind="loss", where="", operation="", value=_text(loss)
                )
        self._trigger.learn(loss)

    def _settle(self, step: int, now: float) -> None:
        """The run's own count has reached the step that was due: settle the accounts, decide what is due next."""
        if self._later:
            self._guard("record", self._later.poll)
        count = step - self._settled_step
        seconds = now - self._settled_at - self._own
        if seconds >= 0:  # NaN at the first step
            self.budget.steps_taken(count, seconds)
            self._rows.put(step, "step", "", step_time=seconds / count)
        if now - self._last_flush > FLUSH_EVERY:
            self._flush(now, step)
        elif step & (step - 1) == 0:
            self._stride = self.budget.scalar_stride(step)
        if self._looking:
            self.tell("look", means=self._gatherer.went_by, cost_s=round(self._own, 6), credit=self.budget.at_credit)
            self.budget.look_taken(self._own + _now() - now)
            self.budget.settled(0.0, count - 1)
        else:
            self.budget.settled(self._own + _now() - now, count - 1)
        begin = _now()
        self._arm(step + 1)
        self._settled_step, self._settled_at = step, begin
        self._own = _now() - begin  # on the next account

    def _flush(self, now: float, step: int) -> None:
        self._guard("record", self._rows.complete, step)
        self._guard("record", self._sink.flush)
        self._last_flush = _now()
        self.budget.flushed(self._last_flush - now, self._scalars)
        self._scalars = 0
        self._stride = self.budget.scalar_stride(step)

    def _arm(self, step: int) -> None:
        """Decide whether ``step`` is looked at, and at the end of which step something is due."""
        if self._looking:
            self._guard("activations", self._gatherer.withdraw)
        self._looking = self.budget.allows(step)
        if self._looking:
            self._guard("activations", self._gatherer.prepare)
            self._due = step
        else:
            # the last step before a multiple of the stride, or before the next look that the opening owes
            self._due = (step + self._stride) // self._stride * self._stride - 1
            opening = 1 << step.bit_length()
            if self.budget.on_credit(opening):
                self._due = min(self._due, opening - 1)
        self._rest(step)

    def _rest(self, step: int) -> None:
        """Be idle until something is due, if nothing has to be followed from one step into the next."""
        self._set_idle(step < self._due and not self._nested and not self._probes)

    def _set_idle(self, idle: bool) -> None:
        if idle != self.idle:
            self.idle = idle
            if self.on_idle is not None:
                self.on_idle(idle)

    def _odd_loss(self, tensors: Any, value: float) -> None:
        start = _now()
        self.budget.burst()
        self._due = self.clock.steps + 1
        if not math.isfinite(value) and not self._scene.nonfinite_told:
            self._scene.nonfinite_told = True
            self._guard("culprit", self._seek_culprit, tensors, value)
        self._own += _now() - start

    def _seek_culprit(self, tensors: Any, value: float) -> None:
        view = read_graph(roots_of(tensors))
        self._scene.update(view.leaves)
        culprit = find_culprit(view, self._scene.models, _text(value), read_saved=not self._scene.checkpointing)
        self.tell("nonfinite", kind=culprit.kind, where=culprit.where, operation=culprit.operation, value=culprit.value)

    # -- never in the way --------------------------------------------------------------------------------------------

    def _guard(self, signal: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function``; an exception of ours is told once and turns the signal off, the script goes on."""
        if signal in self._off:
            return None
        try:
            return function(*args)
        except Exception as error:
            self._fail(signal, error)
            return None

    def _fail(self, signal: str, error: Exception) -> None:
        if signal not in self._off:
            self._off.add(signal)
            self.tell("note", text=f"{signal} is off: {type(error).__name__}: {error}")
        if signal in ("clock", "loss"):  # nothing can be said without them
            self.on = False

    def tell(self, kind: str, /, **data: Any) -> None:
        """An event of the step that is under way; a note is told on stderr too."""
        step = self.clock.steps if kind == "look" else self.clock.steps + 1
        if kind == "note":
            print(f"surefoot: {data['text']}; the run goes on", file=sys.stderr)
        try:
            self._sink.event(step, kind, **data)
        except Exception:
            self.on = False


def _text(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
