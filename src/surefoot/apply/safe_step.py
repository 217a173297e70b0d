"""``safe-step``: each step is shortened to the radius of convergence of the cross-entropy, in a script as it is.

The part is :mod:`surefoot.optim.safe_radius`, as in :class:`surefoot.optim.SafeStep`. Here the model, its inputs and
the place of its logits are found as the script runs: its forwards are remembered by hooks on the models themselves,
and the graph of the loss tells which of their outputs are the logits of a cross-entropy. After the optimiser's step
one Jacobian-vector product at the old weights measures it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.steps.taken import ratio_summary, step_ratios
from surefoot.apply.cure import Cure, Desk
from surefoot.autodiff.jvp import Derivative
from surefoot.observe.compiled import anything_compiled
from surefoot.observe.discover import census, find_models
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.logit_site import LogitSite, find_logits
from surefoot.observe.replay import ForwardRecorder
from surefoot.optim.displacement import Displacement

_MOST = 16  # forwards between two steps (gradient accumulation) that a step is judged by


class SafeSteps(Cure):
    """Scales what an optimiser added to the weights by min(1, r_max/r); its moments stay what they are."""

    id = "safe-step"
    wants_models = True

    def __init__(self, desk: Desk, r_max: float) -> None:
        super().__init__(desk)
        self.r_max = r_max
        self._recorder = ForwardRecorder(lambda name, function, *args: function(*args), self.id, most=_MOST)
        self._roots: list[nn.Module] = []
        self._sites: list[LogitSite] = []
        self._before: dict[int, list[tuple[Tensor, Tensor]]] = {}  # by optimiser: parameters, their values before
        self._in_step = False
        self._means: Derivative = "jvp"
        self._measured, self._smallest = 0, 1.0

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Find the models that it trains, and remember their forwards from now on."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        modules = census().modules if self.models is None else [m for top in self.models for m in top.modules()]
        found = find_models(modules, parameters).roots
        roots = [m for root in found if not root.compiled and (m := root.module()) is not None]
        self._roots += [m for m in roots if all(m is not known for known in self._roots)]
        self._recorder.put_on(self._roots)

    def at_backward(self, tensors: Any) -> None:
        """Find the forward whose output the loss function got."""
        forwards = self._recorder.forwards
        if not forwards or torch._C._current_graph_task_id() != -1:
            return
        view = read_graph(roots_of(tensors))
        site = find_logits(view.loss, forwards) if view.loss is not None and view.complete else None
        # A closure is evaluated again and again inside a step: the first time it is at the weights from before.
        if site is not None and not (self._in_step and self._sites):
            site.forward.let_go()
            self._sites = [*self._sites[1 - _MOST :], site]
        self._recorder.forget()

    def before_step(self, optimizer: Optimizer) -> None:
        """Copy the weights that are about to change."""
        if torch._C._current_graph_task_id() != -1:
            self.note("optimisers that step inside a backward take a part of a step at a time, and are left alone")
            return
        held = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if not all(type(p) in (nn.Parameter, Tensor) for p in held):
            raise TypeError("parameters are sharded (DTensor); a safe step needs each whole, as under DDP")
        self._before[id(optimizer)] = [(p, p.detach().clone()) for p in held]
        self._in_step = True

    def after_step(self, optimizer: Optimizer) -> None:
        """Measure the step, and shorten it if it leaves the radius."""
        before = self._before.pop(id(optimizer), [])
        self._in_step = False
        owned = {id(p) for p, _ in before}
        sites = [s for s in self._sites if any(id(p) in owned for p in s.forward.root.parameters())]
        if not before or not sites:
            return
        self._sites = [s for s in self._sites if not any(s is used for used in sites)]
        parameters, values = [p for p, _ in before], [value for _, value in before]
        with torch.no_grad():
            moved = Displacement(parameters, values)
            scale = 1.0
            try:
                if not math.isfinite(moved.length):
                    scale = 0.0
                    self.note("the optimiser's update is not finite; such steps are not taken")
                elif moved.length > 0:
                    moved.hold()
                    r = max(self._measure(site, before) for site in sites)
                    self._measured += 1
                    scale = min(1.0, self.r_max / r) if r > 0 else 1.0
            finally:
                moved.leave(scale)
        if scale < 1:
            self._smallest = min(self._smallest, scale)
            self.act()

    def restore(self, optimizer: Optimizer) -> None:
        """A step that raised is not measured."""
        self._before.pop(id(optimizer), None)
        self._in_step = False

    def _measure(self, site: LogitSite, before: list[tuple[Tensor, Tensor]]) -> float:
        """r of the update, which the parameters hold just now."""
        refusal = site.forward.refusal()
        if refusal is not None:
            raise RuntimeError(refusal)
        if not site.forward.untouched:
            self.note("the script changes inputs or outputs of its model in place; such steps are left as they are")
            return 0.0
        by_id = {id(p): (p.detach(), value) for p, value in before}
        named = {n: by_id[id(p)] for n, p in site.forward.root.named_parameters() if id(p) in by_id}
        old, update = {n: value for n, (_, value) in named.items()}, {n: p for n, (p, _) in named.items()}
        try:
            logits, slopes, gap = site.derivative(old, update, self._means)
        except (NotImplementedError, RuntimeError) as error:
            if self._means == "finite-difference" or isinstance(error, torch.OutOfMemoryError):
                raise
            self._means = "finite-difference"
            logits, slopes, gap = site.derivative(old, update, self._means)
        if not float(gap) <= site.agreement:
            raise RuntimeError(f"a second run of the model differs from the first by {float(gap):.2g} of its output")
        return float(ratio_summary(step_ratios(logits, slopes, site.link).reshape(-1), site.mask)[0])

    def at_close(self) -> None:
        """Leave no hook behind; say so where there was nothing to measure."""
        self._recorder.take_off()
        self._recorder.forget()
        self._sites.clear()
        if not self._measured:
            unseen = "; what is compiled can't be looked into" if anything_compiled() else ""
            self.note(
                f"no step's loss was found to be a cross-entropy of a model's output{unseen}; nothing was changed"
            )

    def summary(self) -> str:
        """How often, and by how much."""
        text = f"shortened {self.acted:,} of {self._measured:,} steps"
        return f"{text}, at most to {self._smallest:.2g} of their length" if self.acted else text
