"""The step that was taken, in radii of convergence: one Jacobian-vector product at the old weights, on its own inputs.

The script's forward is remembered, and run again with the old weights and the update as tangent after the optimiser's
step. Nothing of the run is written to: weights are copies, buffers and random states those of the forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.steps.taken import ratio_summary, step_ratios
from surefoot.autodiff.jvp import Derivative
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.logit_site import LogitSite, find_logits
from surefoot.observe.memory import fits
from surefoot.observe.replay import ForwardRecorder

NAME = "safe step"
COST = 4.0  # steps of the run's own that a reading takes, before one was measured


class SafeStepReading(Instrument):
    """Reads ``safe_ratio`` and its relatives where the loss is a cross-entropy of a model's output."""

    name = NAME

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._recorder = ForwardRecorder(tools.guard, NAME, most=4)
        self._site: LogitSite | None = None
        self._before: list[tuple[str, Tensor, Tensor]] = []  # name, parameter, its value before the step
        self._seconds = 0.0
        self._means: Derivative = "jvp"
        self._refused = False

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Remember the next forwards, if there is time for a reading."""
        self._clear()
        if roots and not self._refused and self.tools.affords(NAME, COST):
            self._recorder.put_on(roots)

    def withdraw(self) -> None:
        """Let go of everything."""
        self._recorder.take_off()
        self._clear()

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Find the forward whose output the loss function got."""
        self._recorder.take_off()
        forwards = self._recorder.forwards
        self._site = find_logits(view.loss, forwards) if view.loss is not None and view.complete else None
        self._recorder.forget()
        if self._site is not None:
            self._site.forward.let_go()

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """Copy the weights that are about to change."""
        if self._site is None or self._before:
            return
        begin = self.tools.budget.now()
        held = {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}
        named = [(name, p) for name, p in self._site.forward.root.named_parameters() if id(p) in held]
        plain = all(type(p) in (nn.Parameter, Tensor) for _, p in named)  # no shards
        if named and plain and fits([p for _, p in named], copies=4):
            self._before = [(name, p, p.detach().clone()) for name, p in named]
        self._seconds += self.tools.budget.now() - begin

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Measure the step."""
        site, before = self._site, self._before
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if site is None or not before or id(before[0][1]) not in held:
            return
        self._before = []
        begin = self.tools.budget.now()
        try:
            self._measure(site, before, state)
        finally:
            self.tools.budget.dear_taken(NAME, self._seconds + self.tools.budget.now() - begin)
            self._clear()

    # ----------------------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._recorder.forget()
        self._site, self._before, self._seconds = None, [], 0.0

    def _measure(self, site: LogitSite, before: list[tuple[str, Tensor, Tensor]], state: OptimizerState) -> None:
        forward = site.forward
        refusal = forward.refusal()
        if refusal is not None:
            self._refuse(refusal)
            return
        if not forward.untouched:
            return  # this time there is nothing to start from
        old = {name: value for name, _, value in before}
        update = {name: p.detach() - value for name, p, value in before}
        try:
            logits, moved, gap = site.derivative(old, update, self._means)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._means == "finite-difference":
                self._refuse(f"a second run of the model failed: {type(error).__name__}: {error}")
                return
            self._means = "finite-difference"
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self.tools.tell("derivative", reading=NAME, means=self._means, reason=reason)
            logits, moved, gap = site.derivative(old, update, self._means)
        largest, median = ratio_summary(step_ratios(logits, moved, site.link).reshape(-1), site.mask)
        squares = torch.stack([torch.linalg.vector_norm(u, dtype=torch.float32).square() for u in update.values()])
        self._put(state.name, [largest, median, squares.sum().sqrt(), gap], site.agreement, self._means)

    def _put(self, where: str, numbers: list[Tensor], agreement: float, means: str) -> None:
        step = self.tools.scene.clock.steps

        def write(found: list[np.ndarray]) -> None:
            largest, median, length, gap = map(float, found)
            if gap > agreement:
                self._refuse(f"its second run differs from the first by {gap:.2g} of the largest output")
                return
            self.tools.rows.put(
                step,
                "safe_step",
                where,
                safe_ratio=largest,
                safe_ratio_median=median,
                safe_radius=length / largest if largest > 0 else float("inf"),
                step_length=length,
                finite_difference=float(means != "jvp"),
            )

        self.tools.ask(step, numbers, write)

    def _refuse(self, reason: str) -> None:
        if not self._refused:
            self._refused = True
            self.tools.tell("derivative", reading=NAME, means="none", reason=reason)
