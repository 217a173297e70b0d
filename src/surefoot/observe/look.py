"""The means of looking at activations: hooks on the script's own forward, borrowing its graph, replaying the forward.

None of them changes a number of the run: hooks read and return None, a graph is only read, and a replay puts back
everything that it used.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.analysis.activations import BOUNDED, RECTIFIED
from surefoot.observe.clamps import activated
from surefoot.observe.compiled import holds_compiled
from surefoot.observe.discover import ACTIVATION_TYPES, Models
from surefoot.observe.graph import GraphView
from surefoot.observe.hook import Hook
from surefoot.observe.replay import ForwardRecorder, tensors_of
from surefoot.observe.signals.activations import ActivationReader, first_tensor, saturation

_compiling = torch.compiler.is_compiling
SITES_A_LAYER = 8  # of an activation that one layer feeds many times (an unrolled cell), this many are read


def trains(thread: int) -> bool:
    """Whether a forward that is under way now is one of training in ``thread``, and of plain tensors: not inside
    ``vmap`` or another transform, which a tensor must not be taken out of."""
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    return torch.is_grad_enabled() and threading.get_ident() == thread and not transformed


class ModuleReader:
    """Reads the outputs of a model's modules while they run; of each module, the first call only."""

    def __init__(self, models: Models, reader: ActivationReader) -> None:
        self._reader = reader
        self._thread = threading.get_ident()
        self._layers: dict[int, tuple[str, int]] = {}  # id of a live module → its layer's name and unit dimension
        for layer in models.layers:
            module = layer.module() if layer.module is not None else None
            if module is not None:
                self._layers[id(module)] = (layer.name, layer.unit_dim)
        self._seen: set[int] = set()
        self._last: tuple[str, int] | None = None
        self._waiting: tuple[str, Tensor] | None = None  # saturation of what may yet prove to be the model's output
        self.saved_hooks_seen = False  # tensors are saved through hooks (activation checkpointing, offloading)

    def targets(self, root: nn.Module) -> list[nn.Module]:
        """The modules to read below ``root``: layers, and activations that are modules of their own."""
        return [
            module
            for module in root.modules()
            if (id(module) in self._layers or type(module) in ACTIVATION_TYPES)
            and not isinstance(module, torch.jit.ScriptModule)
        ]

    def wants(self, module: nn.Module) -> bool:
        """Whether this call of ``module`` is one to read: in a forward that trains, in the thread that trains."""
        return id(module) not in self._seen and trains(self._thread)

    def cut_off(self, module: nn.Module) -> bool:
        """Whether this call of ``module``, in training mode, is one without a graph."""
        return module.training and not torch.is_grad_enabled() and threading.get_ident() == self._thread

    def ran(self, module: nn.Module) -> None:
        """Take note that a module has run, though without a graph, inside a forward that trains."""
        layer = self._layers.get(id(module))
        if layer is not None:
            self._reader.ran(layer[0])

    def read(self, module: nn.Module, output: Any) -> None:
        """Take in the output of one module."""
        self._seen.add(id(module))
        tensor = first_tensor(output)
        layer = self._layers.get(id(module))
        if torch._C._autograd._top_saved_tensors_default_hooks(False) is not None:
            self.saved_hooks_seen = True
        with torch.no_grad():
            if layer is not None:
                if self._waiting is not None:
                    self._reader.saturated(*self._waiting)
                    self._waiting = None
                self._last = layer
                if tensor is not None:
                    self._reader.output(layer[0], tensor.detach())
            elif self._last is not None and tensor is not None and tensor.is_floating_point():
                kind = ACTIVATION_TYPES[type(module)]
                if kind in RECTIFIED:
                    self._reader.rectified(self._last[0], tensor.detach(), self._last[1])
                elif kind in BOUNDED:
                    self._waiting = (self._last[0], saturation(tensor.detach(), kind))


class Hooks:
    """Hooks on module instances: put on for one step, taken off after."""

    def __init__(self, guard: Callable[..., Any]) -> None:
        self._guard = guard
        self._handles: list[Any] = []
        self._within = 0  # forwards of models that train and are under way
        self.outputs: list[Tensor] = []  # of the models, while the step lasts: they may prove to be logits
        self.newest: Tensor | None = None  # of the layers: the logits, where the model ends in a log-softmax of them

    def put_on(self, roots: list[nn.Module], reader: ModuleReader, only: list[nn.Module] | None = None) -> None:
        """Read all modules below ``roots``, or ``only`` these, during the script's next forward."""
        home = threading.get_ident()

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if _compiling():  # what is traced is the same as without us
                return
            if reader.wants(module):
                self._guard("activations", reader.read, module, output)
                tensor = first_tensor(output)
                if tensor is not None and tensor.requires_grad:
                    self.newest = tensor
            elif self._within and reader.cut_off(module):
                self._guard("activations", reader.ran, module)

        def begins(module: nn.Module, args: Any) -> None:
            if not _compiling() and trains(home):
                self._within += 1

        def keep_output(module: nn.Module, args: Any, output: Any) -> None:
            if _compiling():
                return
            if trains(home):
                self._within = max(0, self._within - 1)
            tensor = first_tensor(output)
            if tensor is not None and tensor.requires_grad and len(self.outputs) < 8:
                self.outputs.append(tensor)

        for root in roots:
            for module in reader.targets(root):
                if only is None or any(module is m for m in only):
                    self._handles.append(module.register_forward_hook(Hook(hook)))
            if only is None and not isinstance(root, torch.jit.ScriptModule):
                self._handles.append(root.register_forward_pre_hook(Hook(begins)))
                self._handles.append(root.register_forward_hook(Hook(keep_output)))

    def take_off(self) -> None:
        """Leave no trace on the modules."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.outputs.clear()
        self._within = 0
        self.newest = None


def borrow(view: GraphView, models: Models, reader: ActivationReader, covered: set[str], heard: set[str]) -> None:
    """Read the activations that the graph saved, except those of layers ``covered`` by hooks.

    Of layers not ``heard``, whose own output no hook read (their ``forward`` was called directly), the moments too.
    """
    taken: dict[tuple[str, str], int] = {}
    for site in view.sites:
        owned = models.find(site.producer)
        if owned is None or owned.layer.name in covered:
            continue
        layer = owned.layer
        taken[layer.name, site.kind] = number = taken.get((layer.name, site.kind), 0) + 1
        output = activated(site.node, site.kind) if number <= SITES_A_LAYER else None
        if output is None or not output.is_floating_point() or not output.numel():
            continue
        if layer.name not in heard:
            reader.output(layer.name, output)
        if site.kind in RECTIFIED:
            reader.rectified(layer.name, output, layer.unit_dim)
        elif site.hidden and not site.gate:
            reader.saturated(layer.name, saturation(output, site.kind))
        else:
            reader.closed(layer.name, saturation(output, site.kind))


class Replay:
    """Runs a model's forward a second time on the inputs that it had, and puts back everything the run can see.

    What is compiled of it runs eagerly the second time, and may differ by rounding: fused kernels round less often.
    """

    def __init__(self, guard: Callable[..., Any]) -> None:
        self._recorder = ForwardRecorder(guard, "replay")

    @property
    def ready(self) -> bool:
        """Whether the script's forward was seen from beginning to end."""
        return any(forward.outputs is not None for forward in self._recorder.forwards)

    def put_on(self, root: nn.Module) -> None:
        """Remember what the script's next forward starts from."""
        self.take_off()
        self._recorder.put_on([root])

    def take_off(self) -> None:
        """Leave no trace on the model."""
        self._recorder.take_off()
        self._recorder.forget()

    def run(self, reader: ModuleReader) -> str | None:
        """Replay and read; None if all went well, else why this model is not to be replayed again."""
        forward = next((f for f in self._recorder.forwards if f.outputs is not None), None)
        self.take_off()
        if forward is None or forward.outputs is None:
            return None
        refusal = forward.refusal()
        if refusal is not None:
            return refusal
        if not forward.untouched:
            return None  # the script changed the output in place: nothing to compare with, this time
        device, dtype, enabled = forward.autocast
        compiled = holds_compiled(forward.root)

        def hook(module: nn.Module, args: Any, out: Any) -> None:
            if reader.wants(module):
                reader.read(module, out)

        with (
            forward.as_it_began(),
            torch.enable_grad(),  # the kernels that the script's own forward took,
            torch.autograd.graph.saved_tensors_hooks(_drop, _drop),  # but none of its memory for a backward
            torch.autocast(device, dtype, enabled, cache_enabled=False),
            torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext(),
        ):
            for module in reader.targets(forward.root):
                module.register_forward_hook(hook)  # gone when everything is put back
            again = list(tensors_of(forward.root(*forward.args, **forward.kwargs)))
        slack = math.sqrt(torch.finfo(dtype if enabled else torch.float32).eps) if compiled else 0.0  # half the digits
        same = len(again) == len(forward.outputs) and all(
            _agree(a, b, slack) for a, b in zip(again, forward.outputs, strict=True)
        )
        if same:
            return None
        if compiled:
            return "eagerly, the compiled model gives another output (by dropout, say: it draws other numbers)"
        return "its second run gave another output than the first"


def _agree(again: Tensor, first: Tensor, slack: float) -> bool:
    """Whether two outputs are the same, but for ``slack`` of the first's root mean square."""
    if again.shape != first.shape or again.dtype != first.dtype:
        return False
    if not slack or not again.is_floating_point():
        return torch.allclose(again, first, rtol=0, atol=0, equal_nan=True)
    a, b = again.detach().double(), first.detach().double()
    return bool((a - b).norm() <= slack * b.norm())


def _drop(tensor: Any) -> Any:
    """Save nothing for a backward that won't come."""
