"""float16: gradients that were flushed to zero or have few bits left, and how near the largest is to infinity."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.precision import FLOAT16_MAX, flushed, representable
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.nodes import CAST, saved
from surefoot.observe.signals.gradients import local, parameters_of

SAMPLE = 1 << 12  # elements of each gradient: a share is known to within 1 %
SAVED = ("mat1", "self", "input", "result")
"""What nodes keep that tells in which precision they were computed."""


class Precision(Instrument):
    """Reads ``gradient_zero_share``, ``gradient_subnormal_share`` and ``gradient_peak`` of layers that run in float16.

    Gradients are read as the backward left them, loss scale included, for it is that which float16 had to hold. A layer
    runs in float16 if its weights are, or (under autocast) if float16 holds every one of its float32 gradients.
    """

    name = "precision"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._casts = False  # something in the forward was cast to float16
        self._read: dict[int, tuple[list[int], list[float], list[Tensor], list[Tensor]]] = {}

    def withdraw(self) -> None:
        """Keep nothing of a look that is over."""
        self._casts, self._read = False, {}

    def at_backward(self, view: GraphView, roots: object) -> None:
        """See whether something was cast, and to float16."""
        if self.tools.scene.checkpointing or not any(node.name() == CAST for node in view.nodes):
            return
        for node in view.nodes:
            tensor = saved(node, *SAVED)
            if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16):
                self._casts = tensor.dtype == torch.float16
                return

    def at_backward_end(self) -> None:
        """Read the gradients of each optimiser."""
        for state in self.tools.scene.clock.states:
            optimizer = state.ref()
            if optimizer is not None:
                self._read_gradients(optimizer)

    def _read_gradients(self, optimizer: Optimizer) -> None:
        models = self.tools.scene.models
        places: list[int] = []
        sizes: list[float] = []
        shares: list[Tensor] = []
        whole: list[Tensor] = []
        for p in parameters_of(optimizer):
            place = models.place(p)
            if p.grad is None or p.grad.is_sparse or place is None or not p.grad.numel():
                continue
            half = p.grad.dtype == torch.float16
            if not half and not (self._casts and p.grad.dtype == torch.float32):
                continue
            gradient = local(p.grad).reshape(-1)
            with torch.no_grad():
                sample = gradient[:: max(1, gradient.numel() // SAMPLE)].float()
                ran = torch.ones((), device=sample.device) if half else representable(sample).float()
                shares += [*flushed(sample), ran]
            places.append(place)
            sizes.append(float(gradient.numel()))
            whole.append(gradient)
        if places:
            peaks = [p.float() for p in torch._foreach_norm(whole, float("inf"))]
            self._read[id(optimizer)] = places, sizes, shares, peaks

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write what was read, of the layers that ran in float16."""
        read = self._read.pop(id(optimizer), None)
        if read is None:
            return
        places, sizes, shares, peaks = read
        step, layers = self.tools.scene.clock.steps, len(self.tools.scene.models.layers)

        def write(found: list[np.ndarray]) -> None:
            numbers = np.array(found, dtype=np.float64)
            zero, subnormal, ran = numbers[: 3 * len(places)].reshape(-1, 3).T
            total, count = np.zeros((layers, 2)), np.zeros(layers)
            peak, in_half = np.zeros(layers), np.ones(layers, dtype=bool)
            np.add.at(total, places, np.stack([zero, subnormal], 1) * np.array(sizes)[:, None])
            np.add.at(count, places, sizes)
            with np.errstate(invalid="ignore"):
                np.maximum.at(peak, places, numbers[3 * len(places) :] / FLOAT16_MAX)
            np.logical_and.at(in_half, places, ran > 0)
            in_half &= count > 0
            if not (in_half & (peak > 0)).any():
                return  # zeros alone do not tell in what precision they were computed
            with np.errstate(invalid="ignore", divide="ignore"):
                zeros, subnormals = np.where(in_half, total.T / count, np.nan)
            self.tools.rows.put_layers(
                step,
                "precision",
                gradient_zero_share=zeros,
                gradient_subnormal_share=subnormals,
                gradient_peak=np.where(in_half, peak, np.nan),
            )

        self.tools.ask(step, [*shares, *peaks], write)
