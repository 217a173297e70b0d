"""Watches one process's training loop: counts its steps, reads its loss, and decides which steps to look at.

The entry points are called by :mod:`surefoot.observe.patches`. None of them raises, and each accounts for its own time.
They run at every step of the script, so they do as little as they can; what a look does is in ``gather.py``.
A step's values are gathered until an optimiser steps, for only then it is known whose step it was.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.account import Account
from surefoot.observe.asked import Asked, asked_for, gradients_in, outside_of_transforms, trains
from surefoot.observe.budget import Budget
from surefoot.observe.clock import Clock, OptimizerState
from surefoot.observe.culprit import find_culprit
from surefoot.observe.gather import Gatherer
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.guard import Guard
from surefoot.observe.home import Home
from surefoot.observe.instrument import Tools
from surefoot.observe.later import Later
from surefoot.observe.pace import Pace
from surefoot.observe.patches import closure_in, followed, with_closure
from surefoot.observe.rows import Rows, Sink
from surefoot.observe.scalars import Scalars, as_text
from surefoot.observe.scene import Scene
from surefoot.observe.signals.loss import loss_tensor
from surefoot.observe.signals.ranks import RankWeights
from surefoot.observe.structure import LOOKS, Structure
from surefoot.observe.untaken import UntakenLosses
from surefoot.observe.untold import UntoldSteps, plain_leaves
from surefoot.observe.validation import Validation

FLUSH_EVERY = 1.0  # seconds between commits; one costs a millisecond or two
ODD_BATCHES = 4  # batches with an odd loss that are read even where the budget is spent: some milliseconds each
_now = time.perf_counter
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
        self._account = Account(budget)
        self._sink = sink
        self._rows = Rows(sink)
        self.clock = Clock(first)
        self._guard = Guard(self._account, self.clock, sink)
        self.guard, self.tell = self._guard, self._guard.tell
        self._scene = Scene(self._rows, self.tell, self.clock, models, optimizers)
        self._structure = Structure(self._scene)
        self._odd_batches = 0  # that were read though the budget was spent
        self._changed = 0  # steps whose wiring is still to be read, after a change
        self._later = later if later is not None else Later()
        tools = Tools(self._scene, self._rows, self._later, budget, self.tell, self._guard, keep)
        self._gatherer = Gatherer(tools, means)
        self._ranks = RankWeights(tools) if ranks else None
        self._probes = self._gatherer.probes
        self._home = Home()
        self._scalars = Scalars(tools, self._odd_loss)
        self._untold = UntoldSteps(self._scene, self._home)
        self._untaken = UntakenLosses()
        self.validation = Validation(self._scene, self._home, self._rows, self._later, self._guard)
        self._inner: dict[int, Optimizer] = {}  # those that stepped inside the backward under way
        self._asked_backward = False  # the script has called `backward`
        self._hands_over = False  # it has asked for gradients of what an optimiser holds
        self._asked: tuple[Asked, Optimizer | None] | None = None  # whose gradient is being taken, and who holds it
        self._closure_ran = False  # inside a step: its closure gave loss and gradient, what it computes now is more
        # since the last optimiser step
        self._spent = False  # an optimiser has stepped on the scalars gathered; another may step on the same ones
        self._left_out = False  # a remedy keeps the step from changing anything
        self._may_skip = False  # a gradient scaler was asked to step, and no step has come of it so far
        self._count_before: int | None = None  # steps of the optimiser that it was asked to step
        self._last_flush = _now()
        self._pace = Pace(budget, self.clock, self._gatherer, self._guard, self._other_step)
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
        self._left_out = not self._pace.idle

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
            self._guard("clock", self._look_at_step, optimizer)
        self._guard("clock", self._end_step, optimizer)

    # -- entry points, at every step ---------------------------------------------------------------------------------

    def before_backward(self, tensors: Any) -> None:
        """The script is about to run a backward."""
        if self._pace.idle or not self._guard.on or self._home.elsewhere() or _task() != -1:
            return  # a backward inside another is a part of it (activation checkpointing)
        if self._closure_ran:
            return
        try:
            self._inner.clear()
            if not self._asked_backward:
                self._asked_backward = True
                self._scalars.forget()  # what was read before was read of gradients that served something else
            if self._untold.sought:
                self._end_untold_step(lambda: plain_leaves(tensors))
            self._begin_backward(tensors)
            if not self.clock.steps or self._untold.hand_written:
                self._guard("clock", self._untold.begin, tensors)
        except Exception as error:
            self._guard.failed("loss", error)

    def before_gradient(self, outputs: Any, inputs: Any, create_graph: bool) -> bool:
        """The script is about to ask for a gradient; whether it is that of a loss that it trains on. Where ``backward``
        is called, it is something else."""
        if self._pace.idle or not self._guard.on or self._home.elsewhere() or _task() != -1:
            return False
        if self._closure_ran or self._asked_backward or self._guard.working:
            return False
        return bool(self._guard("clock", self._begin_gradient, outputs, inputs, create_graph))

    def after_gradient(self, found: Any) -> None:
        """The script has what it asked for."""
        asked, self._asked = self._asked, None
        if asked is not None and self._guard.on:
            self._guard("clock", self._end_gradient, *asked, found)

    def after_backward(self) -> None:
        """The script's backward is over."""
        if not self._guard.on or self._home.elsewhere() or _task() != -1:
            return
        if self._inner:
            self._guard("clock", self._end_inner_steps)
            return
        if self._untold.sought or not self.clock.steps or self._untold.hand_written:
            self._guard("clock", self._expect_untold_step)
        self._end_backward()

    def before_clip(self, parameters: Any) -> None:
        """The script is about to clip gradients."""
        if self._pace.looking and self._guard.on and not self.clock.inside_step and not self._home.elsewhere():
            given = [parameters] if isinstance(parameters, Tensor) else parameters
            self._guard("gradients", self._gatherer.at_clip, given)

    def scaled_by(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler is about to step an optimiser."""
        if self._scene.scaler is None and scaler.is_enabled():
            self._scalars.scaled_by(scaler)
        self._scene.scaler = scaler
        self._may_skip = True
        self._count_before = None
        told = isinstance(optimizer, Optimizer) and getattr(type(optimizer).step, "hooked", False)
        if told and self._guard.on and not self._home.elsewhere() and self._scene.follows(optimizer):
            state = self._guard("scaler", self._scene.state_of, optimizer)
            self._count_before = None if state is None else state.count

    def after_scaled(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler has stepped an optimiser, or skipped its step."""
        state = self.clock.known(optimizer)
        if state is None or self._count_before is None or not self._guard.on or self._home.elsewhere():
            return
        if self._scene.skips_of(state).scaled(state.count == self._count_before):
            self._guard("scaler", self._tell_skips, scaler, state)

    def _tell_skips(self, scaler: Any, state: OptimizerState) -> None:
        self.tell("skipped", optimizer=state.name, **self._scene.skips_of(state).facts(scaler))

    def computed(self, loss: Any) -> None:
        """A loss function has given a loss that takes a gradient."""
        if self._untaken.computed(self.clock.steps) and self._guard.on and not self._home.elsewhere():
            self._guard("untaken losses", self._look_at_untaken, loss)

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
                self._guard("clock", self._look_at_inner_step, optimizer)
            return None
        if not self._home.here():
            return None
        if not self.clock.enter(optimizer):
            self._pace.nested = True
            return None
        self._closure_ran = False
        if self._ranks is not None and not self.clock.steps:
            self._guard("ranks", self._start_ranks, optimizer)
        given = closure_in(args, kwargs)
        if given is not None:
            return with_closure(args, kwargs, followed(given, functools.partial(self._closure_gave, optimizer)))
        if self._pace.looking:
            self._guard("clock", self._look_at_step, optimizer)
        return None

    def _closure_gave(self, optimizer: Optimizer) -> None:
        """A step's closure has computed loss and gradient; where it is called again, the first is the step's."""
        if self._closure_ran or not self._guard.on or not self._home.here():
            return
        self._closure_ran = True
        if self._pace.looking:
            self._guard("clock", self._look_at_step, optimizer)

    def after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimiser's step is over (a global step post-hook)."""
        if _compiling():
            return
        if not self._guard.on or not self._scene.follows(optimizer):
            return
        try:
            if _task() != -1:
                if not self.clock.inside_step:
                    # after a second step within one backward, each has to be seen to tell how many count
                    self._pace.nested = self._pace.nested or id(optimizer) in self._inner
                    self._inner[id(optimizer)] = optimizer
            elif self._home.here() and self.clock.leave(optimizer):
                self._end_step(optimizer)
        except Exception as error:
            self._guard.failed("clock", error)

    def _other_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """While idle, an optimiser has stepped whose count is not the run's."""
        if not self._guard.on or not self._scene.follows(optimizer) or _task() != -1 or not self._home.here():
            return
        try:
            state = self._scene.state_of(optimizer)
            if self.clock.tick(state):
                self._pace.lead(optimizer, state)
                self._pace.set_idle(self.clock.steps + 1 < self._pace.due)
        except Exception as error:
            self._guard.failed("clock", error)

    def close(self) -> None:
        """Hand over what is gathered and leave no hook behind."""
        if self._guard.on:
            self._guard("clock", self._end_untold_step)
            self._guard("activations", self._gatherer.withdraw)
            self._gatherer.close()
            if self._ranks is not None:
                self._guard("ranks", self._ranks.at_close)
            self._guard("validation", self.validation.end)
            self._guard("record", self._later.drain)
            self._guard("record", self._rows.complete, None)
        self.drop()

    def drop(self) -> None:
        """Stop at once, touching nothing."""
        self._guard.on = False
        self._untold.forget()
        self.validation.stop()
        self._pace.set_idle(False)

    def catch_up(self) -> None:
        """Hand over all steps but the newest, which may still grow."""
        if self._guard.on:
            self._flush(_now(), self.clock.steps)

    # -- one step ----------------------------------------------------------------------------------------------------

    def _begin_backward(self, tensors: Any, owner: Optimizer | None = None, in_graph: bool = True) -> None:
        """The gradient of a loss is about to be taken, of the parameters of ``owner`` alone, if that is known."""
        if self._may_skip or self._spent:
            # what was gathered belongs to the steps that were taken since; if the scaler skipped the step, for some
            # gradient was not finite, it belongs to none
            self._scalars.forget()
            self._may_skip = self._spent = False
        self._scalars.backwards += 1
        if in_graph and (self._pace.looking or self._probes):
            # first, for it may find a scaler that the loss was multiplied by
            self._guard("clock", self._look_at_backward, tensors)
        loss = loss_tensor(tensors)
        if loss is not None:
            self._scalars.read(loss, owner)
        if in_graph and self._scalars.backwards == 1 and self.clock.steps + 1 >= self._pace.due:
            self._guard("structure", self._seek_change, tensors)

    def _end_backward(self) -> None:
        """Gradients are complete."""
        for probe in self._probes.values():
            self._guard("wiring", probe.after_backward)
        if self._pace.looking and not self.clock.inside_step:
            self._guard("clock", self._gatherer.at_backward_end)

    def _begin_gradient(self, outputs: Any, inputs: Any, create_graph: bool) -> bool:
        asked = asked_for(outputs, inputs, create_graph)
        if asked is None:
            return False
        scene = self._scene
        with outside_of_transforms() if not asked.in_graph else nullcontext():
            if not scene.discovered:
                scene.update(asked.tensors)
            owner = scene.holder_of(asked.tensors[0])
            if owner is not None:
                self._hands_over = True
            else:
                by_hand = self._untold.hand_written
                if self._hands_over or (not by_hand and (self.clock.steps or not trains(asked))):
                    return False
                self._end_untold_step(lambda: asked.tensors)
            # of the first gradient that an optimiser may be handed the loss alone: a ``backward`` may follow, which it
            # is only a part of
            self._begin_backward(asked.loss, owner, asked.in_graph and (owner is None or self.clock.steps > 0))
        self._asked = asked, owner
        return True

    def _end_gradient(self, asked: Asked, owner: Optimizer | None, found: Any) -> None:
        gradients = gradients_in(found)
        with outside_of_transforms() if not asked.in_graph else nullcontext():
            if owner is None:
                optimizer = self._untold.expect_of(asked.tensors, gradients, self._pace.looking)
                if optimizer is not None and self._pace.looking:
                    self._look_at_step(optimizer)
            self._end_backward()

    def _look_at_backward(self, tensors: Any) -> None:
        if self._pace.looking and self._scalars.backwards == 1:
            self._gatherer.at_backward(tensors)
        for probe in self._probes.values():
            self._guard("wiring", probe.before_backward)

    def _look_at_step(self, optimizer: Optimizer) -> None:
        self._scene.state_of(optimizer)  # its parameters must be known before they are read
        self._gatherer.at_step_begin(optimizer)

    def _start_ranks(self, optimizer: Optimizer) -> None:
        assert self._ranks is not None
        self._scene.state_of(optimizer)
        self._ranks.at_start()

    def _look_at_inner_step(self, optimizer: Optimizer) -> None:
        self._scene.state_of(optimizer, in_backward=True)
        self._gatherer.at_inner_step(optimizer)

    def _end_inner_steps(self) -> None:
        """A backward is over inside of which optimisers have stepped, one for each parameter, say: that is one step."""
        self._home.here()
        for optimizer in self._inner.values():
            self._scene.state_of(optimizer, in_backward=True)
        _, optimizer = self._inner.popitem()
        self._inner.clear()
        self._end_step(optimizer)

    def _expect_untold_step(self) -> None:
        """A backward is over and no optimiser has ever told of a step."""
        if not self.clock.inside_step:
            optimizer = self._untold.expect(self._pace.looking)
            if optimizer is not None and self._pace.looking:
                self._look_at_step(optimizer)

    def _end_untold_step(self, asked: Callable[[], list[Tensor]] = list) -> None:
        """Another gradient is asked for, of what ``asked`` gives, or the run is over."""
        optimizer = self._untold.ended(asked, self._pace.looking)
        if optimizer is not None:
            self._pace.nested = True  # never idle: every backward has to be seen
            self._end_step(optimizer)
            if self._pace.looking:
                self._untold.meet()

    def _end_step(self, optimizer: Optimizer) -> None:
        """The slow path: something is due at the end of this step, or it is not the main optimiser's."""
        outermost = self._account.open()
        try:
            self._count_step(optimizer)
        finally:
            if outermost:
                self._account.close()

    def _count_step(self, optimizer: Optimizer) -> None:
        self._may_skip = self._closure_ran = False
        state = self.clock.known(optimizer) or self._scene.state_of(optimizer)
        ticked = self.clock.tick(state)
        due = self.clock.steps >= self._pace.due
        # another optimiser's step belongs to the step of the run that is under way
        read = self._pace.looking or due or (not ticked and self.clock.steps + 1 >= self._pace.due)
        if read and not self._left_out:
            self._scalars.write(optimizer, state, self._gatherer.constant_loss)
        self._left_out = False
        if self._probes:
            probe = self._probes.pop(id(optimizer), None)
            if probe is not None:
                self._guard("wiring", self._gatherer.harvest, probe, state)
        if self._pace.looking:
            self._gatherer.at_step_end(optimizer, state)
        self._spent = True
        if ticked:
            if due and self._ranks is not None:
                self._guard("ranks", self._ranks.at_step_end, state.count)
            self._pace.lead(optimizer, state)
            if due:
                self._settle(state.count)
            else:
                self._pace.rest(state.count + 1)

    def _settle(self, step: int) -> None:
        """The run's own count has reached the step that was due: settle the accounts, decide what is due next."""
        if self._later:
            self._guard("record", self._later.poll)
        if self.validation.open:
            self._guard("validation", self.validation.end)
        seconds = self._account.step_time(step)
        if seconds is not None:
            self._rows.put(step, "step", "", step_time=seconds)
        now = _now()
        if now - self._last_flush > FLUSH_EVERY:
            self._flush(now, step)
        elif step & (step - 1) == 0:
            self._pace.spread(step)
        if self._pace.looking:
            cost = round(self._account.spent, 6)
            self.tell("look", means=self._gatherer.activations.went_by, cost_s=cost, credit=self.budget.at_credit)
        self._account.settle(step, self._pace.looking)
        self._pace.arm(step + 1)

    def _flush(self, now: float, step: int) -> None:
        self._guard("record", self._rows.complete, step)
        self._guard("record", self._sink.flush)
        self._last_flush = _now()
        self.budget.flushed(self._last_flush - now, self._scalars.rows)
        self._scalars.rows = 0
        self._pace.spread(step)

    def _odd_loss(self, tensors: Any, value: float | None) -> None:
        self.budget.burst()
        self._pace.due = self.clock.steps + 1
        if (value is None or not math.isfinite(value)) and not self._scene.nonfinite_told:
            self._scene.nonfinite_told = True
            self._guard("culprit", self._seek_culprit, tensors, value)
        if self._pace.looking or self._scalars.backwards != 1:
            return
        affordable = self.budget.every is not None or self.budget.steady < self.budget.fraction
        if affordable or self._odd_batches < ODD_BATCHES:
            self._odd_batches += not affordable
            self._gatherer.at_odd_loss(tensors)

    def _look_at_untaken(self, loss: Any) -> None:
        """Many losses have come and no step: is it because they are not finite?"""
        if type(loss) is not Tensor or not loss.is_cpu or not self._later.immediate or not loss.requires_grad:
            return
        value = float(loss.detach().sum())
        if not math.isfinite(value):
            self.tell("untaken", losses=self._untaken.count, value=as_text(value))
            if not self._scene.nonfinite_told:
                self._scene.nonfinite_told = True
                self._guard("culprit", self._seek_culprit, loss, value)

    def _seek_change(self, tensors: Any) -> None:
        if self._structure.changed(self.clock.steps + 1):
            self.budget.burst(LOOKS)
            self._changed = LOOKS
        if self._changed and not self._pace.looking:
            self._changed -= 1
            self._gatherer.at_change(tensors)

    def _seek_culprit(self, tensors: Any, value: float | None) -> None:
        view = read_graph(roots_of(tensors))
        self._scene.update(view.leaves)
        text = as_text(math.nan if value is None else value)
        culprit = find_culprit(view, self._scene.models, text, read_saved=not self._scene.checkpointing)
        if value is None and culprit.kind == "loss":
            return  # nothing was found, and the loss itself is not known to be no number
        self.tell("nonfinite", kind=culprit.kind, where=culprit.where, operation=culprit.operation, value=culprit.value)
