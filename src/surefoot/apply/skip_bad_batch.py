"""``skip-bad-batch``: a batch far outside the run's past leaves no trace.

Its step sees no gradients, so that the optimiser leaves weights, moments and step counts as they are; the running
statistics of batch norms, which its forward has changed already, go back to those of the last good step.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, gradient_scale, parameters_of
from surefoot.apply.step_loss import StepLoss
from surefoot.observe.discover import census
from surefoot.optim.bad_batches import BadBatchGate

_LISTED = 20  # steps that are told by number


class SkipBadBatch(Cure):
    """Asks :class:`surefoot.optim.BadBatchGate` before each step. Reading loss and norm waits for the device."""

    id = "skip-bad-batch"

    def __init__(self, desk: Desk, factor: float, window: int) -> None:
        super().__init__(desk)
        self._how = (factor, window)
        self._gates: weakref.WeakKeyDictionary[Optimizer, BadBatchGate] = weakref.WeakKeyDictionary()
        self._loss = StepLoss()
        self._taken_away: list[tuple[Tensor, Tensor]] = []  # parameters and their gradients
        self._norms: list[weakref.ref[nn.Module]] | None = None
        self._statistics: list[tuple[Tensor, Tensor]] = []  # buffers of batch norms, and what they were
        self._skipped: list[int] = []
        self._seen = 0

    def at_backward(self, tensors: Any) -> None:
        """Keep the loss."""
        self._loss.at_backward(tensors)

    def before_step(self, optimizer: Optimizer) -> None:
        """Count the step."""
        self._seen += 1
        self._loss.stepped()

    def at_gradients(self, optimizer: Optimizer) -> None:
        """Judge the batch; if it is bad, take the gradients away."""
        parameters = parameters_of(optimizer)
        gradients = [p.grad for p in parameters if p.grad is not None and not p.grad.is_sparse]
        if not gradients:
            return
        if self._norms is None:
            modules = census().modules
            self._norms = [weakref.ref(m) for m in modules if isinstance(m, nn.modules.batchnorm._NormBase)]
        gate = self._gates.setdefault(optimizer, BadBatchGate(*self._how))
        norm = float(torch.nn.utils.get_total_norm(gradients)) / gradient_scale(optimizer)
        if gate.passes(loss=self._loss.value(), norm=norm):
            return
        for p in parameters:
            if p.grad is not None:
                self._taken_away.append((p, p.grad))
                p.grad = None
        self._skipped.append(self._seen + self.desk.offset)
        self.desk.leave_out()
        self.act()
        signal, value, limit = gate.reasons[0]
        self.desk.tell("skip", id=self.id, signal=signal, value=str(value), limit=str(limit))

    def after_step(self, optimizer: Optimizer) -> None:
        """Keep the running statistics of a good step; put the last ones back after a bad one."""
        with torch.no_grad():
            if self._taken_away:
                for buffer, value in self._statistics:
                    buffer.copy_(value)
            elif self._norms:
                buffers = [b for ref in self._norms if (m := ref()) is not None for b in m.buffers(recurse=False)]
                self._statistics = [(b, b.detach().clone()) for b in buffers]

    def restore(self, optimizer: Optimizer) -> None:
        """Give the gradients back: the script may want to see or to clear them."""
        for p, gradient in self._taken_away:
            p.grad = gradient
        self._taken_away.clear()

    def summary(self) -> str:
        """Which steps."""
        listed = ", ".join(f"{step:,}" for step in self._skipped[:_LISTED])
        more = ", …" if len(self._skipped) > _LISTED else ""
        return f"left out {self.acted:,} of {self._seen:,} steps: {listed}{more}" if self.acted else "left out no step"
