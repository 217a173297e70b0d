"""The step that was taken, in radii of convergence: one Jacobian-vector product at the old weights, on its own inputs.

The script's forward is remembered, and run again with the old weights and the update as tangent after the optimiser's
step. Nothing of the run is written to: weights are copies, buffers and random states those of the forward.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.steps.taken import ratio_summary, step_ratios
from surefoot.autodiff.jvp import Derivative, directional_derivative
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView, LossSite, Node, saved, shape_source
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.memory import fits
from surefoot.observe.replay import Forward, ForwardRecorder
from surefoot.optim.safe_radius import Link

NAME = "safe step"
COST = 4.0  # steps of the run's own that a reading takes, before one was measured
# Of the update: where there is no forward mode, the displacement of the finite difference. A step of r = 1 moves
# logits by about π, so that float32 leaves three digits.
SHARE = 0.01
# A replay runs other kernels than the script's forward did (and none of autocast's), so it agrees up to rounding.
_AGREES, _AGREES_AUTOCAST = 1e-2, 0.1


@dataclass
class _Site:
    """Where the logits are: which forward, which of its outputs, which dimension, and which rows count."""

    forward: Forward
    output: int
    class_dim: int
    link: Link
    mask: Tensor | None


class SafeStepReading(Instrument):
    """Reads ``safe_ratio`` and its relatives where the loss is a cross-entropy of a model's output."""

    name = NAME

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._recorder = ForwardRecorder(tools.guard, NAME, most=4)
        self._site: _Site | None = None
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
        self._site = _find_site(view.loss, forwards) if view.loss is not None and view.complete else None
        self._recorder.forget()
        if self._site is not None:
            self._site.forward.let_go()

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """Copy the weights that are about to change."""
        if self._site is None or self._before:
            return
        begin = time.perf_counter()
        held = {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}
        named = [(name, p) for name, p in self._site.forward.root.named_parameters() if id(p) in held]
        plain = all(type(p) in (nn.Parameter, Tensor) for _, p in named)  # no shards
        if named and plain and fits([p for _, p in named], copies=4):
            self._before = [(name, p, p.detach().clone()) for name, p in named]
        self._seconds += time.perf_counter() - begin

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Measure the step."""
        site, before = self._site, self._before
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if site is None or not before or id(before[0][1]) not in held:
            return
        self._before = []
        begin = time.perf_counter()
        try:
            self._measure(site, before, state)
        finally:
            self.tools.budget.dear_taken(NAME, self._seconds + time.perf_counter() - begin)
            self._clear()

    # ----------------------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._recorder.forget()
        self._site, self._before, self._seconds = None, [], 0.0

    def _measure(self, site: _Site, before: list[tuple[str, Tensor, Tensor]], state: OptimizerState) -> None:
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
            logits, moved = self._derivative(site, old, update)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._means == "finite-difference":
                self._refuse(f"a second run of the model failed: {type(error).__name__}: {error}")
                return
            self._means = "finite-difference"
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self.tools.tell("derivative", reading=NAME, means=self._means, reason=reason)
            logits, moved = self._derivative(site, old, update)
        assert forward.outputs is not None
        theirs = forward.outputs[site.output].movedim(site.class_dim, -1)
        scale = theirs.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
        gap = (logits - theirs).abs().amax() / scale
        largest, median = ratio_summary(step_ratios(logits, moved, site.link).reshape(-1), site.mask)
        squares = torch.stack([torch.linalg.vector_norm(u, dtype=torch.float32).square() for u in update.values()])
        self._put(state.name, [largest, median, squares.sum().sqrt(), gap], forward.autocast[2], self._means)

    def _derivative(
        self, site: _Site, old: Mapping[str, Tensor], update: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        def output(parameters: dict[str, Tensor]) -> Tensor:
            return site.forward.again(parameters)[site.output]

        with differentiable_kernels(site.forward.root):
            value, moved, _ = directional_derivative(output, old, update, derivative=self._means, share=SHARE)
        return value.movedim(site.class_dim, -1), moved.movedim(site.class_dim, -1)

    def _put(self, where: str, numbers: list[Tensor], autocast: bool, means: str) -> None:
        step = self.tools.scene.clock.steps

        def write(found: list[np.ndarray]) -> None:
            largest, median, length, gap = map(float, found)
            if gap > (_AGREES_AUTOCAST if autocast else _AGREES):
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


def _find_site(loss: LossSite, forwards: Sequence[Forward]) -> _Site | None:
    """The forward and output that are the loss function's input, up to its shape."""
    link: Link
    if loss.name in ("cross_entropy", "log_softmax"):
        link = "softmax"
    elif loss.name == "binary_cross_entropy_with_logits":
        link = "sigmoid"
    else:
        return None
    for forward in forwards:
        for place, output in enumerate(forward.outputs or ()):
            source: Node | None = shape_source(output.grad_fn)
            if source is None or source is not loss.input_node or not output.is_floating_point():
                continue
            class_dim = _class_dim(loss, output)
            if class_dim is None:
                return None
            rows = output.movedim(class_dim, -1).shape[:-1]
            known, mask = _mask(loss, rows.numel())
            return _Site(forward, place, class_dim, link, mask) if known else None
    return None


def _class_dim(loss: LossSite, output: Tensor) -> int | None:
    if loss.name == "binary_cross_entropy_with_logits":
        return -1 if output.dim() else None
    log_probabilities = saved(loss.node, "self", "result")
    if log_probabilities is None or not log_probabilities.dim():
        return None
    class_dim = 1 if loss.name == "cross_entropy" and log_probabilities.dim() > 1 else log_probabilities.dim() - 1
    classes = log_probabilities.shape[class_dim]
    if classes < 2:
        return None
    if output.shape == log_probabilities.shape:
        return class_dim
    fitting = [dim for dim, size in enumerate(output.shape) if size == classes]
    return fitting[0] if len(fitting) == 1 else None


def _mask(loss: LossSite, rows: int) -> tuple[bool, Tensor | None]:
    """Whether it is known which rows count, and which do where not all do."""
    targets = saved(loss.node, "target") if loss.name == "cross_entropy" else None
    if targets is None or targets.is_floating_point():
        return True, None
    ignore = getattr(loss.node, "_saved_ignore_index", -100)
    ignore = ignore - (1 << 64) if ignore >= 1 << 63 else ignore  # autograd stores it as an unsigned number
    # rows of output and targets belong together only if there are as many; else none must be marked as ignored, which
    # only padding uses: to look would mean to wait for the device
    if targets.numel() == rows:
        return True, (targets != ignore).reshape(-1)
    return (bool((targets != ignore).all()), None) if targets.is_cpu else (False, None)
