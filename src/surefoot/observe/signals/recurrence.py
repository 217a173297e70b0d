"""How the gradient grows on its way back through time, in modules that a forward runs over and over.

Of a cell, or any layer that is called again and again in one forward on what came of its calls before (not for one
sample after the other), the gradient of each call's output is measured in the script's own backward; and so it is at
each use of a weight that is a bare parameter of a loop. A fused ``nn.RNN``, ``LSTM`` or ``GRU`` shows the gradient of
its output only: what it is at the states inside is replayed, for a few sequences, after the backward (a dear reading).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.dynamics import final_state, growth_rate, state_gradients
from surefoot.observe.clock import OptimizerState
from surefoot.observe.discover import Layer
from surefoot.observe.graph import GraphView
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.look import trains
from surefoot.observe.nodes import Node
from surefoot.observe.time_loops import loops

SEQUENCES = 4  # of a fused module, so many are replayed,
WINDOW = 128  # and so many of their last time steps
SHORTEST = 8  # time steps: over fewer nothing compounds
LONGEST = 1024  # calls of one layer that are followed
_CELL = 512  # nodes of the graph between one call of a layer and the next
_GUESS = 2.0  # how many of the run's own steps a first replay may take


@dataclass(slots=True)
class _Calls:
    """The gradients of a layer's outputs, by number of the call."""

    count: int = 0
    made: frozenset[Node] = frozenset()  # what the second call gave
    chained: bool = True  # the third call got what came of it
    squares: dict[int, dict[int, Tensor]] = field(default_factory=dict)


@dataclass(slots=True)
class _Replay:
    """What a fused module ran on, and what came back to it."""

    module: nn.RNNBase
    inputs: Tensor  # (batch, time, features), a few sequences
    state: Tensor | tuple[Tensor, Tensor] | None
    gradients: dict[int, Tensor] = field(default_factory=dict)  # 0 output, 1 h_n, 2 c_n


class Recurrence(Instrument):
    """Forward hooks on the layers of a step that is looked at, and hooks on their outputs, which return nothing."""

    name = "recurrence"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._calls: dict[str, _Calls] = {}
        self._replays: dict[str, _Replay] = {}
        self._norms: dict[str, tuple[list[Tensor], int]] = {}  # (…, time) in order, and the length of the sequence
        self._open = False  # the forward of this step is under way
        self._may_replay = False
        self._thread = threading.get_ident()

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Put hooks on the layers."""
        self.withdraw()
        self._calls, self._replays, self._norms = {}, {}, {}
        self._open = True
        self._may_replay = self.tools.affords(self.name, _GUESS)
        inside = {id(module) for root in roots for module in root.modules()}
        for layer in self.tools.scene.models.layers:
            module = layer.module() if layer.module is not None else None
            if module is not None and id(module) in inside and not isinstance(module, torch.jit.ScriptModule):
                self._handles.append(module.register_forward_hook(Hook(self._hook(layer.name)), with_kwargs=True))

    def _hook(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if self._open and trains(self._thread):
                self.tools.guard(self.name, self._follow, name, module, args, kwargs, output)

        return hook

    def _follow(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        calls = self._calls.setdefault(name, _Calls())
        calls.count += 1
        if isinstance(module, nn.RNNBase):
            values = args[0] if args else kwargs.get("input")
            if not isinstance(values, Tensor) or values.dim() != 3:
                return
            if values.shape[1 if module.batch_first else 0] > 1:
                if self._may_replay and calls.count == 1 and not getattr(module, "proj_size", 0):
                    self._record(name, module, values, args[1] if len(args) > 1 else kwargs.get("hx"), output)
                return
        if calls.count == 2:
            calls.made = frozenset(t.grad_fn for t in _tensors(output) if t.grad_fn is not None)
        elif calls.count == 3:
            calls.chained = _leads_back([*_tensors(args), *_tensors(list(kwargs.values()))], calls.made)
        if 2 <= calls.count <= LONGEST:
            for part, tensor in enumerate(_tensors(output)):
                self._handles.append(tensor.register_hook(self._measure(calls, calls.count, part)))

    def _measure(self, calls: _Calls, number: int, part: int) -> Any:
        def measure(gradient: Tensor) -> None:
            if self.tools.scene.borrowing:
                return
            found = calls.squares.setdefault(number, {})
            if part not in found:  # a second backward through the same graph is not the loss's own
                self.tools.guard(self.name, lambda: found.update({part: _square(gradient)}))

        return measure

    def _record(self, name: str, module: nn.RNNBase, values: Tensor, state: Any, output: Any) -> None:
        steps, batch = (values.shape[1], values.shape[0]) if module.batch_first else values.shape[:2]
        if steps < SHORTEST or (module.bidirectional and steps > WINDOW):
            return
        few = slice(None, None, -(-batch // SEQUENCES))
        with torch.no_grad():
            values = (values if module.batch_first else values.transpose(0, 1))[few].detach().clone()
            if state is not None:
                state = tuple(s[:, few].detach().clone() for s in (state if isinstance(state, tuple) else (state,)))
                state = state if module.mode == "LSTM" else state[0]
        replay = self._replays[name] = _Replay(module, values, state)

        def keep(place: int, along: int) -> Any:
            cut = (slice(None),) * along + (few,)

            def kept(gradient: Tensor) -> None:
                if place not in replay.gradients and not self.tools.scene.borrowing:
                    replay.gradients[place] = gradient.detach()[cut].clone()

            return kept

        for place, tensor in enumerate(_tensors(output)):
            along = 0 if place == 0 and module.batch_first else 1
            self._handles.append(tensor.register_hook(keep(place, along)))

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """The forward is over: what is called from here on is not of this loss. Its graph shows the loops that call no
        layer."""
        self._open = False
        models = self.tools.scene.models
        found: list[tuple[str, Tensor, list[Node]]] = []
        for leaf, nodes in loops(view, SHORTEST, LONGEST):
            owned = models.find(leaf)
            if owned is not None and self._shows_no_calls(owned.layer):
                found.append((owned.layer.name, leaf, nodes))
        for part, (name, leaf, nodes) in enumerate(found):
            if leaf.dim() < max(other.dim() for layer, other, _ in found if layer == name):
                continue  # a bias goes where its weight goes
            calls = self._calls.setdefault(name, _Calls())
            calls.count = max(calls.count, len(nodes))
            for number, node in enumerate(nodes, 1):
                measure = self._measure(calls, number, part)
                self._handles.append(node.register_prehook(partial(_first, measure)))

    def _shows_no_calls(self, layer: Layer) -> bool:
        """Whether nothing is known of a layer that was run through time; torch's own cells tell by their hooks alone,
        for what their weights give are gates."""
        module = None if layer.module is None else layer.module()
        calls = self._calls.get(layer.name)
        return not isinstance(module, (nn.RNNBase, nn.RNNCellBase)) and (calls is None or calls.count < SHORTEST)

    def withdraw(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._open = False

    def at_backward_end(self) -> None:
        """Replay the fused modules, while the weights are still those of the forward."""
        for name, replay in list(self._replays.items()):
            if replay.gradients:
                del self._replays[name]
                with self.tools.spending(self.name):
                    self._norms[name] = ([run_back(replay)], replay.inputs.shape[1])

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write the rate of growth of each layer that was run through time."""
        for name, calls in self._calls.items():
            if calls.count >= SHORTEST and calls.chained and calls.squares:
                nothing = torch.zeros(())
                norms = [sum(calls.squares.get(t, {}).values(), nothing) for t in range(2, calls.count + 1)]
                device = next(iter(next(iter(calls.squares.values())).values())).device
                self._norms[name] = ([torch.stack([n.to(device) for n in norms]).sqrt()[None]], calls.count)
        found, self._norms, self._calls = self._norms, {}, {}
        step = self.tools.scene.clock.steps
        for name, (values, length) in found.items():
            self.tools.ask(step, values, partial(self._write, step, name, length))

    def _write(self, step: int, name: str, length: int, found: list[np.ndarray]) -> None:
        rates = [growth_rate(row) for row in found[0]]
        known = [rate for rate in rates if not np.isnan(rate)]
        if known:
            rate = max(known, key=abs)
            self.tools.rows.put(step, self.name, name, bptt_rate=rate, bptt_length=float(length))


def run_back(replay: _Replay) -> Tensor:
    """|∂L/∂state| at the last time steps of a fused module: (directions, time)."""
    module, inputs, state = replay.module, replay.inputs, replay.state
    output = replay.gradients.get(0)
    if output is not None and not module.batch_first:
        output = output.transpose(0, 1)
    if inputs.shape[1] > WINDOW:
        state = final_state(module, inputs[:, :-WINDOW], state)
        inputs = inputs[:, -WINDOW:]
        output = None if output is None else output[:, -WINDOW:]
    last = [replay.gradients.get(place) for place in (1, 2)]
    return state_gradients(module, inputs, state, output_gradient=output, final_gradients=last)


def _first(measure: Any, gradients: tuple[Tensor | None, ...]) -> None:
    """Measure the gradient of what a node of the graph gave."""
    if gradients and gradients[0] is not None:
        measure(gradients[0])


def _leads_back(tensors: Sequence[Tensor], made: frozenset[Node]) -> bool:
    """Whether one of these nodes is what one of the tensors came of, a cell's own graph back at most."""
    queue = deque(t.grad_fn for t in tensors if t.grad_fn is not None)
    seen: set[Node] = set()
    while queue and len(seen) < _CELL:
        node = queue.popleft()
        if node in made:
            return True
        if node not in seen:
            seen.add(node)
            queue.extend(child for child, _ in node.next_functions if child is not None)
    return False


def _tensors(output: Any) -> list[Tensor]:
    """The tensors of a module's output that a gradient comes back to, in order."""
    if isinstance(output, Tensor):
        return [output] if output.requires_grad else []
    if isinstance(output, (tuple, list)):
        return [t for part in output for t in _tensors(part)]
    return []


def _square(gradient: Tensor) -> Tensor:
    gradient = gradient.detach()
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    length = torch.linalg.vector_norm(gradient.float())
    return length.square() if length.device.type == "mps" else length.double().square()
