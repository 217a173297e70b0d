"""The step of the run that is under way: from the first gradient that is taken for it until it is counted and settled.

The observer calls it at the moments of a step, whoever told of them: a hook of PyTorch's, or weights that have changed.
It runs at every step that is not idle, so that it does as little as it can.
"""

from __future__ import annotations

import time
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.account import Account
from surefoot.observe.clock import OptimizerState
from surefoot.observe.gather import Gatherer
from surefoot.observe.instrument import Tools
from surefoot.observe.odd_losses import OddLosses
from surefoot.observe.pace import Pace
from surefoot.observe.rows import Sink
from surefoot.observe.scalars import Scalars
from surefoot.observe.signals.loss import loss_tensor
from surefoot.observe.signals.ranks import RankWeights
from surefoot.observe.structure import LOOKS, OPENING, Structure
from surefoot.observe.validation import Validation

FLUSH_EVERY = 1.0  # seconds between commits; one costs a millisecond or two
_now = time.perf_counter


class StepUnderWay:
    """Gathers a step's values, and writes them once an optimiser steps, for only then it is known whose step it was.

    Parameters
    ----------
    tools : scene, rows, budget, guard
    gatherer : what a look does
    pace : which steps are looked at
    odd : told of a loss far above the run's past, or not finite
    account : what surefoot itself spends
    validation : an evaluation is over when the run's count reaches a step that was due
    sink : is flushed now and then
    ranks : taken at the end of a step that is due, where several processes train together

    Attributes
    ----------
    scalars : loss and rate of the step
    closure_ran : inside a step: its closure gave loss and gradient, what it computes now is more
    left_out : a remedy keeps the step from changing anything
    may_skip : a gradient scaler was asked to step, and no step has come of it so far
    """

    def __init__(
        self,
        tools: Tools,
        gatherer: Gatherer,
        pace: Pace,
        odd: OddLosses,
        account: Account,
        validation: Validation,
        sink: Sink,
        ranks: RankWeights | None,
    ) -> None:
        self.closure_ran = self.left_out = self.may_skip = False
        self.scalars = Scalars(tools, self._odd_loss)
        self._tools, self._gatherer, self._pace, self._odd = tools, gatherer, pace, odd
        self._account, self._validation, self._sink, self._ranks = account, validation, sink, ranks
        self._scene, self._clock, self._guard = tools.scene, tools.scene.clock, tools.guard
        self._structure = Structure(tools.scene)
        self._probes = gatherer.probes
        self._changed = 0  # steps whose wiring is still to be read, after a change
        self._read_step = 0  # the newest step of the run whose scalars were written
        self._follows: set[str] = set()  # optimisers that step after another one on the same losses
        self._spent = False  # an optimiser has stepped on the scalars gathered; another may step on the same ones
        self._last_flush = _now()

    def begin_backward(self, tensors: Any, owner: Optimizer | None = None, in_graph: bool = True) -> None:
        """The gradient of a loss is about to be taken, of the parameters of ``owner`` alone, if that is known."""
        if self.may_skip or self._spent:
            # what was gathered belongs to the steps that were taken since; if the scaler skipped the step, for some
            # gradient was not finite, it belongs to none
            self.scalars.forget()
            self.may_skip = self._spent = False
        self.scalars.backwards += 1
        if in_graph and (self._pace.looking or self._probes):
            # first, for it may find a scaler that the loss was multiplied by
            self._guard("clock", self._look_at_backward, tensors)
        loss = loss_tensor(tensors)
        if loss is not None:
            self.scalars.read(loss, owner)
        if in_graph and self.scalars.backwards == 1 and self._clock.steps + 1 >= self._pace.due:
            self._guard("structure", self._seek_change, tensors)

    def wake(self) -> None:
        """The step under way was idle so far, and one of its losses is odd."""
        self.may_skip = self._spent = False
        self.scalars.resume()
        self._pace.wake()

    def ended_after(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """An optimiser whose count is not the run's has stepped while idle. Where it does so on the run's own losses,
        and those were read, it is a part of the step that was."""
        if self._read_step == self._clock.steps and state.name in self._follows:
            self.scalars.write(optimizer, state, self._gatherer.constant_loss(self.scalars.backwards))

    def joined(self) -> None:
        """An optimiser has stepped for the first time, while others had for long: its first steps are looked at."""
        self._structure.joins()
        self._pace.attend()

    def end_backward(self) -> None:
        """Gradients are complete."""
        for probe in self._probes.values():
            self._guard("wiring", probe.after_backward)
        if self._pace.looking and not self._clock.inside_step:
            self._guard("clock", self._gatherer.at_backward_end)

    def look(self, optimizer: Optimizer) -> None:
        """An optimiser begins to step, with gradients that are complete, in a step that is looked at."""
        self._scene.state_of(optimizer)  # its parameters must be known before they are read
        self._gatherer.at_step_begin(optimizer)

    def end(self, optimizer: Optimizer) -> None:
        """An optimiser has stepped. The slow path: something is due at the end of this step, or it is not the main
        optimiser's."""
        outermost = self._account.open()
        try:
            self._count(optimizer)
        finally:
            if outermost:
                self._account.close()

    def flush(self, now: float, step: int) -> None:
        """Hand over all steps before ``step``, and see how long that takes from ``now`` on."""
        self._guard("record", self._tools.rows.complete, step)
        self._guard("record", self._sink.flush)
        self._last_flush = _now()
        self._tools.budget.flushed(self._last_flush - now, self.scalars.rows)
        self.scalars.rows = 0
        self._pace.spread(step)

    # ----------------------------------------------------------------------------------------------------------------

    def _look_at_backward(self, tensors: Any) -> None:
        if self._pace.looking and self.scalars.backwards == 1:
            self._gatherer.at_backward(tensors)
        for probe in self._probes.values():
            self._guard("wiring", probe.before_backward)

    def _seek_change(self, tensors: Any) -> None:
        if self._structure.changed(self._clock.steps + 1):
            self._tools.budget.burst(LOOKS, lasting=True, changed=True)
            self._changed = LOOKS
        if self._changed and not self._pace.looking:
            self._changed -= 1
            self._gatherer.at_change(tensors)

    def _odd_loss(self, loss: Tensor, value: float | None) -> None:
        self._tools.budget.burst(lasting=True)
        self._pace.due = self._clock.steps + 1
        self._odd.met(loss, value, batch_unread=not self._pace.looking and self.scalars.backwards == 1)

    def _count(self, optimizer: Optimizer) -> None:
        self.may_skip = self.closure_ran = False
        state = self._clock.known(optimizer) or self._scene.state_of(optimizer)
        joins = not state.stepped_in and self._clock.steps > OPENING
        ticked = self._clock.tick(state)
        due = self._clock.steps >= self._pace.due
        # another optimiser's step belongs to the step of the run that is under way, or is the last part of one
        begins = self._pace.woke != self._clock.steps and self._clock.steps + 1 >= self._pace.due
        follows = self._spent and self._read_step == self._clock.steps
        read = self._pace.looking or due or (not ticked and (begins or follows))
        if read and not self.left_out:
            self.scalars.write(optimizer, state, self._gatherer.constant_loss(self.scalars.backwards))
            self._read_step = self._clock.steps
            if not ticked:
                (self._follows.add if follows else self._follows.discard)(state.name)
        self.left_out = False
        if joins:
            self._structure.joins()
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
        tools = self._tools
        if tools.later:
            self._guard("record", tools.later.poll)
        if self._validation.open:
            self._guard("validation", self._validation.end)
        seconds = self._account.step_time(step)
        if seconds is not None:
            tools.rows.put(step, "step", "", step_time=seconds)
        now = _now()
        if now - self._last_flush > FLUSH_EVERY:
            self.flush(now, step)
        elif step & (step - 1) == 0:
            self._pace.spread(step)
        if self._pace.looking:
            cost = round(self._account.spent, 6)
            tools.tell("look", means=self._gatherer.activations.went_by, cost_s=cost, credit=tools.budget.at_credit)
        self._account.settle(step, self._pace.looking)
        self._pace.arm(step + 1)
