"""Watches one process's training loop: counts its steps, reads its loss, and decides which steps to look at.

The entry points are called by :mod:`surefoot.observe.patches`. None of them raises, and each accounts for its own time.
They run at every step of the script, so they do as little as they can: see whether it concerns the run at all, and hand
it on to the step under way (``step_under_way.py``), or to who knows steps that come in other ways than by an optimiser
alone. What a look does is in ``gather.py``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.account import Account
from surefoot.observe.asked_steps import AskedSteps
from surefoot.observe.budget import Budget
from surefoot.observe.clock import Clock
from surefoot.observe.gather import Gatherer
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.guard import Guard
from surefoot.observe.home import Home
from surefoot.observe.inner_steps import InnerSteps
from surefoot.observe.instrument import Tools
from surefoot.observe.later import Later
from surefoot.observe.odd_losses import OddLosses
from surefoot.observe.pace import Pace
from surefoot.observe.patches import closure_in, followed, with_closure
from surefoot.observe.printed import PrintedNumbers
from surefoot.observe.rows import Rows, Sink
from surefoot.observe.scaled_steps import ScaledSteps
from surefoot.observe.scene import Scene
from surefoot.observe.signals.ranks import RankWeights
from surefoot.observe.step_under_way import StepUnderWay
from surefoot.observe.untold import UntoldSteps, plain_leaves
from surefoot.observe.validation import Validation

_compiling = torch.compiler.is_compiling
_task: Callable[[], int] = torch._C._current_graph_task_id  # of the backward that this thread is inside, or -1


class Observer:
    """Watches training in the thread that makes it: the first in which an optimiser steps, and when that has ended, the
    next.

    Parameters
    ----------
    sink : takes finished rows and events
    budget : decides which steps are looked at
    means : force one means of looking at activations; None takes the first that serves
    models : watch these modules only (None: whatever the script trains)
    optimizers : follow these optimisers only (None: all)
    later : how numbers are got from devices (None: as the device allows)
    ranks : this is one of several processes that train together: take what tells whether their weights agree
    keep : stores samples that a finding may speak of, ``(step, signal, key, array)``; None keeps none
    first : the number of the first step: 1, or 0 where it is to be looked at and not taken (:meth:`end_untaken`)
    """

    def __init__(
        self,
        sink: Sink,
        budget: Budget,
        means: str | None = None,
        models: Sequence[nn.Module] | None = None,
        optimizers: Sequence[Optimizer] | None = None,
        later: Later | None = None,
        keep: Callable[[int, str, str, np.ndarray], None] | None = None,
        ranks: bool = False,
        first: int = 1,
    ) -> None:
        self.budget = budget
        account = Account(budget)
        rows = Rows(sink)
        self.clock = Clock(first)
        self._guard = Guard(account, self.clock, sink)
        self.guard, self.tell = self._guard, self._guard.tell
        self._scene = Scene(rows, self.tell, self.clock, models, optimizers)
        self._later = later if later is not None else Later()
        self._tools = Tools(self._scene, rows, self._later, budget, self.tell, self._guard, keep)
        self._gatherer = Gatherer(self._tools, means)
        self._ranks = RankWeights(self._tools) if ranks else None
        self._home = Home()
        self.validation = Validation(self._scene, self._home, rows, self._later, self._guard)
        self.printed = PrintedNumbers(self._scene, self._home, rows, self._guard)
        self._odd = OddLosses(self._tools, self._gatherer)
        self._pace = pace = Pace(budget, self.clock, self._gatherer, self._guard, self._other_step)
        self._step = step = StepUnderWay(
            self._tools, self._gatherer, pace, self._odd, account, self.validation, sink, self._ranks
        )
        self._hear = step.scalars.hear
        self._untold = UntoldSteps(self._scene, self._home, step, pace)
        self._asked = AskedSteps(self._scene, step, pace, self._untold)
        self._inner = InnerSteps(self._scene, self._gatherer, step, pace, self._home)
        self._scaled = ScaledSteps(self._scene, step, self.tell)
        self.tick = self._pace.tick
        self._pace.arm(first)

    @property
    def on(self) -> bool:
        """Whether the run is still watched."""
        return self._guard.on

    @property
    def idle(self) -> bool:
        """Whether nothing but steps is counted just now."""
        return self._pace.idle

    @property
    def hearing(self) -> bool:
        """Whether losses are read while idle."""
        return self._pace.hearing

    @property
    def on_idle(self) -> Callable[[bool], None] | None:
        """Called when ``idle`` changes."""
        return self._pace.on_idle

    @on_idle.setter
    def on_idle(self, told: Callable[[bool], None] | None) -> None:
        self._pace.on_idle = told

    @property
    def looks(self) -> dict[str, int]:
        """How many looks at activations went by each means."""
        return self._gatherer.activations.looks

    def follows(self, optimizer: Optimizer) -> bool:
        """Whether this optimiser's steps count."""
        return self._scene.follows(optimizer)

    def leave_out(self) -> None:
        """The step that begins changes nothing: the loss that was computed for it is none of the run's."""
        self._step.left_out = not self._pace.idle

    def end_evaluation(self) -> None:
        """A step begins: an evaluation of the script's that is under way is over."""
        if self.validation.open and self._guard.on:
            self._guard("validation", self.validation.end)

    def acquaint(self, tensors: Any) -> None:
        """Get to know the models behind ``tensors`` before a step is under way, so that its first forward is read."""
        self._guard("discovery", lambda: self._scene.update(read_graph(roots_of(tensors)).leaves))
        self._pace.arm(self.clock.steps + 1)

    def end_untaken(self, optimizer: Optimizer) -> None:
        """The step that has begun, or was about to, is not taken: write what the look has seen up to here."""
        if self.clock.inside_step:
            self.clock.leave(optimizer)
        else:
            self._guard("clock", self._step.look, optimizer)
        self._guard("clock", self._step.end, optimizer)

    # -- entry points, at every step ---------------------------------------------------------------------------------

    def before_backward(self, tensors: Any, inputs: Any = None) -> None:
        """The script is about to run a backward, for the gradient of ``inputs`` alone if they are given."""
        if self._pace.idle or not self._guard.on or self._home.elsewhere() or _task() != -1:
            return  # a backward inside another is a part of it (activation checkpointing)
        if self._step.closure_ran:
            return
        try:
            self._inner.optimizers.clear()
            if not self._asked.by_backward:
                self._asked.met_backward()
            if self._untold.sought:
                self._untold.end(lambda: plain_leaves(tensors))
            self._step.begin_backward(tensors, self._player(inputs))
            if not self.clock.steps or self._untold.hand_written:
                self._guard("clock", self._untold.begin, tensors)
        except Exception as error:
            self._guard.failed("loss", error)

    def _player(self, inputs: Any) -> Optimizer | None:
        """Of several optimisers, the one whose parameters alone a backward is for. (Of a zero-sum game the losses of
        both backwards add up to nothing.)"""
        if inputs is None or len(self.clock.states) < 2:
            return None
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]  # an iterator is not ours to use up
        return self._scene.holder_of(given[0]) if given else None

    def heard(self, tensors: Any) -> bool:
        """The script is about to run a backward while nothing is due; whether its loss is odd, and something is."""
        try:
            if not self._pace.hearing or not self._hear(tensors) or self._home.elsewhere() or _task() != -1:
                return False
            self._step.wake()
            return True
        except Exception as error:
            self._guard.failed("loss", error)
            return False

    def before_gradient(self, outputs: Any, inputs: Any, create_graph: bool) -> bool:
        """The script is about to ask for a gradient; whether it is that of a loss that it trains on. Where ``backward``
        is called, it is something else."""
        if self._pace.idle or not self._guard.on or self._home.elsewhere() or _task() != -1:
            return False
        if self._step.closure_ran or self._asked.by_backward or self._guard.working:
            return False
        return bool(self._guard("clock", self._asked.begin, outputs, inputs, create_graph))

    def after_gradient(self, found: Any) -> None:
        """The script has what it asked for."""
        if self._guard.on:
            self._guard("clock", self._asked.end, found)
        else:
            self._asked.forget()

    def after_backward(self) -> None:
        """The script's backward is over."""
        if not self._guard.on or self._home.elsewhere() or _task() != -1:
            return
        if self._inner.optimizers:
            self._guard("clock", self._inner.end)
            return
        if self._untold.sought or not self.clock.steps or self._untold.hand_written:
            self._guard("clock", self._untold.expect)
        self._step.end_backward()

    def before_clip(self, parameters: Any) -> None:
        """The script is about to clip gradients."""
        if self._pace.looking and self._guard.on and not self.clock.inside_step and not self._home.elsewhere():
            given = [parameters] if isinstance(parameters, Tensor) else parameters
            self._guard("gradients", self._gatherer.at_clip, given)

    def scaled_by(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler is about to step an optimiser."""
        self._scaled.met(scaler)
        told = isinstance(optimizer, Optimizer) and getattr(type(optimizer).step, "hooked", False)
        if told and self._guard.on and not self._home.elsewhere() and self._scene.follows(optimizer):
            self._guard("scaler", self._scaled.begin, optimizer)

    def after_scaled(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler has stepped an optimiser, or skipped its step."""
        if self._guard.on and not self._home.elsewhere():
            skipping = self._scaled.ended(optimizer)
            if skipping is not None:
                self._guard("scaler", self._scaled.tell, scaler, skipping)

    def computed(self, loss: Any) -> None:
        """A loss function has given a loss that takes a gradient."""
        if self._odd.computed() and self._guard.on and not self._home.elsewhere():
            self._guard("untaken losses", self._odd.untaken, loss)

    def after_eval(self) -> None:
        """Some module was put into evaluation mode."""
        if self._guard.on and self._scene.discovered and self._home.known_here():
            self._guard("validation", self.validation.begin)

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """An optimiser's step begins (a global step pre-hook). Where it has a closure, gives the arguments anew."""
        if _compiling() or self._pace.idle or not self._guard.on or not self._scene.follows(optimizer):
            return None
        if _task() != -1:
            if self._pace.looking and not self.clock.inside_step:
                self._guard("clock", self._inner.look, optimizer)
            return None
        if not self._home.here():
            return None
        if not self.clock.enter(optimizer):
            self._pace.nested = True
            return None
        self._step.closure_ran = False
        if self._ranks is not None and not self.clock.steps:
            self._guard("ranks", self._start_ranks, optimizer)
        given = closure_in(args, kwargs)
        if given is not None:
            self._pace.deaf = True
            return with_closure(args, kwargs, followed(given, functools.partial(self._closure_gave, optimizer)))
        if self._pace.looking:
            self._guard("clock", self._step.look, optimizer)
        return None

    def _start_ranks(self, optimizer: Optimizer) -> None:
        assert self._ranks is not None
        self._scene.state_of(optimizer)
        self._ranks.at_start()

    def _closure_gave(self, optimizer: Optimizer) -> None:
        """A step's closure has computed loss and gradient; where it is called again, the first is the step's."""
        if self._step.closure_ran or not self._guard.on or not self._home.here():
            return
        self._step.closure_ran = True
        if self._pace.looking:
            self._guard("clock", self._step.look, optimizer)

    def after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step is over (a global step post-hook)."""
        if _compiling():
            return
        if not self._guard.on or not self._scene.follows(optimizer):
            return
        try:
            if _task() != -1:
                if not self.clock.inside_step:
                    self._inner.stepped(optimizer)
            elif self._home.here() and self.clock.leave(optimizer):
                self._step.end(optimizer)
        except Exception as error:
            self._guard.failed("clock", error)

    def _other_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """While idle, an optimiser has stepped whose count is not the run's."""
        if not self._guard.on or not self._scene.follows(optimizer) or _task() != -1 or not self._home.here():
            return
        try:
            known = self.clock.known(optimizer)
            state = known or self._scene.state_of(optimizer)
            joins = known is None or not known.stepped_in
            if self.clock.tick(state):
                self._pace.lead(optimizer, state)
                self._pace.set_idle(self.clock.steps + 1 < self._pace.due)
            else:
                self._step.ended_after(optimizer, state)
            if joins:
                self._step.joined()
        except Exception as error:
            self._guard.failed("clock", error)

    def close(self) -> None:
        """Hand over what is gathered and leave no hook behind."""
        if self._guard.on:
            self._guard("clock", self._untold.end)
            unstepped = self._guard("clock", self._untold.unstepped)
            if unstepped:
                self._tools.tell("unstepped", **unstepped)
            self._guard("activations", self._gatherer.withdraw)
            self._gatherer.close()
            if self._ranks is not None:
                self._guard("ranks", self._ranks.at_close)
            self._guard("validation", self.validation.end)
            self._guard("record", self._later.drain)
            self._guard("record", self._tools.rows.complete, None)
        self.drop()

    def drop(self) -> None:
        """Stop at once, touching nothing."""
        self._guard.on = False
        self._untold.forget()
        self.validation.stop()
        self.printed.stop()
        self._pace.set_idle(False)

    def catch_up(self) -> None:
        """Hand over all steps but the newest, which may still grow."""
        if self._guard.on:
            self._step.flush(time.perf_counter(), self.clock.steps)
