"""The sharpest direction of the batch's loss, and how near the optimiser is to what it can stand there.

Hessian-vector products through a second run of the model (with the top of the script's own graph, from the model's
output to the loss) where the loss comes from one forward alone, else through the script's own graph. A few products a
reading, begun where the last one ended; nothing waits for a device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.steps.edge import edge_scale, principal_flow_rate
from surefoot.autodiff.composite import composite_hessian, graph_hessian
from surefoot.autodiff.kernels import differentiable_kernels
from surefoot.autodiff.lanczos import krylov, largest_ritz
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.listeners import listened_to, somebody_listens
from surefoot.observe.memory import fits, roomy
from surefoot.observe.nodes import ACCUMULATE, Node
from surefoot.observe.replay import Forward, ForwardRecorder, foreign_hooks

NAME = "curvature"
FIRST, LATER = 8, 5  # products of the first reading, and of those that begin at the last one's vector
COST = 30.0  # steps of the run's own that a reading takes, before one was measured
_AGREES, _AGREES_AUTOCAST = 1e-2, 0.1
_Operator = tuple[Tensor, Callable[[Tensor], Tensor]]


class CurvatureReading(Instrument):
    """Reads ``sharpness`` and its relatives for the optimiser that holds all parameters of the loss."""

    name = NAME

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._recorder = ForwardRecorder(tools.guard, NAME, most=2)
        self._due = False
        self._off: set[str] = set()  # ways that do not work with this script
        self._warm: dict[str, tuple[list[int], Tensor | None]] = {}  # an optimiser's parameters and last vector

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Remember the next forwards, if there is time for a reading."""
        self._recorder.forget()
        self._due = len(self._off) < 2 and self.tools.affords(NAME, COST)
        if self._due and roots and "replay" not in self._off:
            self._recorder.put_on(roots)

    def withdraw(self) -> None:
        """Let go of everything."""
        self._recorder.take_off()
        self._recorder.forget()
        self._due = False

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Measure, just before the script's own backward."""
        self._recorder.take_off()
        if not self._due:
            return
        self._due = False
        found = self._optimizer_of(view.leaves)
        if found is not None and len(roots) == 1 and roots[0].numel() == 1 and view.complete:
            with self.tools.spending(NAME):
                self.tools.scene.borrowing = True
                try:
                    self._measure(view, roots[0], *found)
                finally:
                    self.tools.scene.borrowing = False
        self._recorder.forget()

    # ----------------------------------------------------------------------------------------------------------------

    def _optimizer_of(self, leaves: Sequence[Tensor]) -> tuple[Optimizer, OptimizerState, list[Tensor]] | None:
        """The one optimiser that holds all parameters in the graph, and those."""
        parameters: list[Tensor] = [p for p in leaves if isinstance(p, nn.Parameter)]
        wanted = {id(p) for p in parameters}
        fitting = []
        for state in self.tools.scene.clock.states:
            optimizer = state.ref()
            if optimizer is not None and wanted <= {id(p) for g in optimizer.param_groups for p in g["params"]}:
                fitting.append((optimizer, state, parameters))
        plain = all(type(p) is nn.Parameter and p.dtype in (torch.float32, torch.float64) for p in parameters)
        return fitting[0] if len(fitting) == 1 and parameters and plain else None

    def _measure(
        self, view: GraphView, loss: Tensor, optimizer: Optimizer, state: OptimizerState, parameters: list[Tensor]
    ) -> None:
        keys = [id(p) for p in parameters]
        _, before = (
            self._warm.get(state.name, ([], None)) if self._warm.get(state.name, ([],))[0] == keys else ([], None)
        )
        products = FIRST if before is None else LATER
        if not fits(parameters, copies=products + 8) or not all(map(roomy, {p.device for p in parameters})):
            return
        edge = edge_scale(optimizer, parameters)
        if edge is not None and edge[2] and not any(p in optimizer.state for p in parameters):
            return  # the first step of an adaptive optimiser: it does not know yet how it will divide
        with torch.enable_grad(), differentiable_kernels():
            operator, gap, autocast = self._operator(view, loss, parameters)
            if operator is None:
                return
            gradient, product = operator
            scale = self.tools.scene.loss_scale()
            root = torch.ones_like(gradient) if edge is None else edge[0].to(gradient).sqrt()
            start = root * gradient
            if before is not None:  # a little of the gradient: a direction that has overtaken the old one is in it
                start = before + 0.1 * start / start.norm().clamp_min(torch.finfo(start.dtype).tiny)
            found = krylov(lambda v: (root * product(root * v)).detach(), start, products)
        along = found.basis @ (root * gradient)
        length = (root * gradient).norm()
        plain = type(optimizer) is torch.optim.SGD and not any(g["momentum"] for g in optimizer.param_groups)
        limit = None if edge is None else edge[1]
        step = self.tools.step

        def write(values: list[np.ndarray]) -> None:
            diagonal, offdiagonal, parts, size, differs, *rest = values
            if float(differs) > (_AGREES_AUTOCAST if autocast else _AGREES):
                self._refuse("replay", f"a second run differs by {float(differs):.2g} of the largest output")
                return
            if not (np.isfinite(diagonal).all() and np.isfinite(offdiagonal).all()):
                return
            value, residual, weights = largest_ritz(diagonal, offdiagonal)
            mix = torch.from_numpy(weights).to(found.basis.dtype)
            self._warm[state.name] = keys, mix.to(found.basis.device, non_blocking=True) @ found.basis
            value, residual = (x / (float(rest[0]) if rest else 1.0) for x in (value, residual))
            share = abs(float(parts @ weights)) / float(size) if float(size) > 0 else float("nan")
            nan = float("nan")
            self.tools.rows.put(
                step,
                "curvature",
                state.name,
                sharpness=value if limit is None else value * limit,
                sharpness_residual=residual / abs(value) if value else nan,
                stability_coefficient=nan if limit is None else value,
                sharpest_share=share,
                principal_flow_rate=principal_flow_rate(2 * value, share) if plain else nan,
            )

        asked = [found.diagonal, found.offdiagonal, along, length, gap]
        self.tools.ask(step, asked if scale is None else [*asked, scale], write)

    def _operator(
        self, view: GraphView, loss: Tensor, parameters: list[Tensor]
    ) -> tuple[_Operator | None, Tensor, bool]:
        """Gradient and product, how far a second run was from the first, and whether autocast was on in that."""
        exact = loss.new_zeros((), dtype=torch.float32)
        site = None if "replay" in self._off else _sole_forward(loss, self._recorder.forwards, parameters)
        if site is not None:
            forward, places = site
            refusal = forward.refusal()
            if refusal is None and forward.untouched:
                try:
                    return *self._replayed(forward, places, loss, parameters), forward.autocast[2]
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:
                    refusal = f"{type(error).__name__}: {error}"
            if refusal is not None:
                self._refuse("replay", refusal)
        if "borrow" in self._off or not self._lendable(view, loss, parameters):
            return None, exact, False
        try:
            operator = graph_hessian(loss, parameters)
            operator[1](torch.zeros_like(operator[0]))  # whether all ops have a second derivative shows here
            return operator, exact, False
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._refuse("borrow", str(error).splitlines()[0])
            return None, exact, False

    def _replayed(
        self, forward: Forward, places: list[int], loss: Tensor, parameters: list[Tensor]
    ) -> tuple[_Operator, Tensor]:
        assert forward.outputs is not None
        names = {id(p): name for name, p in forward.root.named_parameters()}
        copies = {id(p): p.detach().requires_grad_() for p in parameters}
        every = forward.again({names[key]: copy for key, copy in copies.items()})
        outputs, again = [forward.outputs[i] for i in places], [every[i] for i in places]
        apart = [(a.detach() - o.detach()).abs().amax() for a, o in zip(again, outputs, strict=True)]
        most = torch.stack([o.detach().abs().amax().float() for o in outputs]).amax()
        gap = torch.stack([a.float() for a in apart]).amax() / most.clamp_min(torch.finfo(torch.float32).tiny)
        return composite_hessian(loss, outputs, again, list(copies.values())), gap

    def _lendable(self, view: GraphView, loss: Tensor, parameters: list[Tensor]) -> bool:
        """Whether nothing of the script's would notice a derivative taken on its graph."""
        scene = self.tools.scene
        if scene.checkpointing or any(map(listened_to, parameters)):
            return False
        if any(isinstance(node, torch.autograd.function.BackwardCFunction) for node in view.nodes):
            return False
        if any(foreign_hooks(root) for root in scene.roots()):
            return False
        return not somebody_listens()

    def _refuse(self, way: str, reason: str) -> None:
        if way not in self._off:
            self._off.add(way)
            self.tools.tell("derivative", reading=f"{NAME} by {way}", means="none", reason=reason.splitlines()[0])


def _sole_forward(
    loss: Tensor, forwards: Sequence[Forward], parameters: Sequence[Tensor]
) -> tuple[Forward, list[int]] | None:
    """The forward, and which of its outputs, through which alone the loss depends on the parameters."""
    ends = {
        output.grad_fn: (forward, place)
        for forward in forwards
        for place, output in enumerate(forward.outputs or ())
        if output.grad_fn is not None and not listened_to(output)
    }
    wanted = {id(p) for p in parameters}
    met: dict[int, tuple[Forward, set[int]]] = {}
    seen: set[Node] = set()
    stack: list[Node] = [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        end = ends.get(node)
        if end is not None:
            met.setdefault(id(end[0]), (end[0], set()))[1].add(end[1])
        elif node.name() == ACCUMULATE:
            if id(node.variable) in wanted:
                return None
        elif isinstance(node, torch.autograd.function.BackwardCFunction):
            return None  # what its backward does beside its result is not known
        else:
            stack.extend(child for child, _ in node.next_functions)
    if len(met) != 1:
        return None
    forward, places = next(iter(met.values()))
    held = {id(p) for p in forward.root.parameters()}
    return (forward, sorted(places)) if wanted <= held else None
