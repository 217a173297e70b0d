"""How much the script shortened the gradient between its backward and its step, whichever way it clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.norms import fused_norms
from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.signals.gradients import local, parameters_of

SAMPLE = 1 << 10  # elements of each gradient: clipping by norm shortens all of them alike


@dataclass(slots=True)
class _Lengths:
    """Lengths of the gradients of some parameters, and what they were multiplied by."""

    parameters: list[int]
    norms: list[Tensor]
    factors: list[float]
    scale: Tensor | None


class ClipRatio(Instrument):
    """Reads ``clip_ratio``: the gradient's norm as the step gets it over that which autograd left."""

    name = "clipping"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._before: dict[int, _Lengths] = {}
        self._after: dict[int, _Lengths] = {}

    def withdraw(self) -> None:
        """Keep nothing of a look that is over."""
        self._before, self._after = {}, {}

    def at_backward_end(self) -> None:
        """Gradients are as autograd left them."""
        for state in self.tools.scene.clock.states:
            optimizer = state.ref()
            if optimizer is not None:
                self._before[id(optimizer)] = self._lengths(optimizer, None)

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """Gradients are as the step gets them."""
        self._after[id(optimizer)] = self._lengths(optimizer, optimizer)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Compare the two, if they are of the same parameters."""
        before, after = self._before.pop(id(optimizer), None), self._after.pop(id(optimizer), None)
        if before is None or after is None or not before.norms or before.parameters != after.parameters:
            return
        step, count = self.tools.scene.clock.steps, len(before.norms)
        weights = np.array(before.factors)
        scales = [s for s in (before.scale, after.scale) if s is not None]

        def write(found: list[np.ndarray]) -> None:
            numbers = np.array(found, dtype=np.float64)
            first = float((numbers[:count] ** 2 * weights).sum()) ** 0.5
            last = float((numbers[count : 2 * count] ** 2 * weights).sum()) ** 0.5
            rest = iter(numbers[2 * count :])
            first /= next(rest) if before.scale is not None else 1.0
            last /= next(rest) if after.scale is not None else 1.0
            if 0 < first < np.inf and last < np.inf:
                self.tools.rows.put(step, "gradients", state.name, clip_ratio=last / first)

        self.tools.ask(step, [*before.norms, *after.norms, *scales], write)

    def _lengths(self, optimizer: Optimizer, stepping: Optimizer | None) -> _Lengths:
        known = [p for p in parameters_of(optimizer) if p.grad is not None and not p.grad.is_sparse and p.numel()]
        gradients = [local(p.grad).reshape(-1) for p in known if p.grad is not None]
        samples = [g[:: max(1, g.numel() // SAMPLE)] for g in gradients]
        scale = self.tools.scene.gradient_scale(stepping)
        return _Lengths(
            [id(p) for p in known],
            fused_norms(samples),
            [g.numel() / len(s) for g, s in zip(gradients, samples, strict=True)],
            None if scale is None else scale.detach().clone(),
        )
