"""The means of looking at activations: hooks on the script's own forward, borrowing its graph, replaying the forward.

None of them changes a number of the run: hooks read and return None, a graph is only read, and a replay puts back
everything that it used.
"""

from __future__ import annotations

import contextlib
import io
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.analysis.activations import BOUNDED, RECTIFIED
from surefoot.observe.discover import ACTIVATION_TYPES, Models
from surefoot.observe.graph import GraphView, saved
from surefoot.observe.signals.activations import ActivationReader, first_tensor, saturation

SITES_A_LAYER = 8  # of an activation that one layer feeds many times (an unrolled cell), this many are read


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
        return id(module) not in self._seen and torch.is_grad_enabled() and threading.get_ident() == self._thread

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
        self.outputs: list[Tensor] = []  # of the models, while the step lasts: they may prove to be logits

    def put_on(self, roots: list[nn.Module], reader: ModuleReader) -> None:
        """Read all modules below ``roots`` during the script's next forward."""

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if reader.wants(module):
                self._guard("activations", reader.read, module, output)

        def keep_output(module: nn.Module, args: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None and tensor.requires_grad and len(self.outputs) < 8:
                self.outputs.append(tensor)

        for root in roots:
            for module in reader.targets(root):
                self._handles.append(module.register_forward_hook(hook))
            if not isinstance(root, torch.jit.ScriptModule):
                self._handles.append(root.register_forward_hook(keep_output))

    def take_off(self) -> None:
        """Leave no trace on the modules."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.outputs.clear()


def borrow(view: GraphView, models: Models, reader: ActivationReader, covered: set[str], with_moments: bool) -> None:
    """Read the activations that the graph saved, except those of layers ``covered`` by hooks."""
    taken: dict[tuple[str, str], int] = {}
    for site in view.sites:
        owned = models.find(site.producer)
        if owned is None or owned.layer.name in covered:
            continue
        layer = owned.layer
        taken[layer.name, site.kind] = number = taken.get((layer.name, site.kind), 0) + 1
        output = saved(site.node, "result") if number <= SITES_A_LAYER else None
        if output is None or not output.is_floating_point() or not output.numel():
            continue
        if with_moments:
            reader.output(layer.name, output)
        if site.kind in RECTIFIED:
            reader.rectified(layer.name, output, layer.unit_dim)
        elif site.hidden and not site.gate:
            reader.saturated(layer.name, saturation(output, site.kind))


class Replay:
    """Runs a model's forward a second time on the inputs that it had, and puts back everything the run can see."""

    def __init__(self, guard: Callable[..., Any]) -> None:
        self._guard = guard
        self._handles: list[Any] = []
        self._start: dict[str, Any] | None = None
        self._output: Any = None

    @property
    def ready(self) -> bool:
        """Whether the script's forward was seen from beginning to end."""
        return self._start is not None and self._output is not None

    def put_on(self, root: nn.Module) -> None:
        """Remember what the script's next forward starts from."""
        self.take_off()

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            if self._start is None and torch.is_grad_enabled():
                self._guard("replay", self._remember, module, args, kwargs)

        def after(module: nn.Module, args: Any, output: Any) -> None:
            if self._start is not None and self._output is None:
                self._output = [(t.detach(), t._version) for t in _tensors(output)]

        self._handles = [
            root.register_forward_pre_hook(before, with_kwargs=True),
            root.register_forward_hook(after),
        ]

    def take_off(self) -> None:
        """Leave no trace on the model."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._start, self._output = [], None, None

    def _remember(self, root: nn.Module, args: Any, kwargs: Any) -> None:
        device = next((t.device.type for t in _tensors((args, kwargs))), "cpu")
        self._start = {
            "root": root,
            "args": args,
            "kwargs": kwargs,
            "rng": _random_state(),
            "attributes": [(module, _attributes(module)) for module in root.modules()],
            "autocast": (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)),
        }

    def run(self, reader: ModuleReader) -> str | None:
        """Replay and read; None if all went well, else why this model is not to be replayed again."""
        start, output = self._start, self._output
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()
        self._start = self._output = None
        if start is None or output is None:
            return None
        root = start["root"]
        if any(m._forward_hooks or m._forward_pre_hooks for m in root.modules()):
            return "the script has forward hooks on it, which a replay would run twice"
        if any(t._version != version for t, version in output):
            return None  # the script changed the output in place: nothing to compare with, this time
        device, dtype, enabled = start["autocast"]

        def hook(module: nn.Module, args: Any, out: Any) -> None:
            if reader.wants(module):
                reader.read(module, out)

        hooks = [module.register_forward_hook(hook) for module in reader.targets(root)]
        try:
            with (
                _put_back(start),
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
                torch.enable_grad(),  # the kernels that the script's own forward took,
                torch.autograd.graph.saved_tensors_hooks(_drop, _drop),  # but none of its memory for a backward
                torch.autocast(device, dtype, enabled, cache_enabled=False),
            ):
                again = list(_tensors(root(*start["args"], **start["kwargs"])))
        finally:
            for handle in hooks:
                handle.remove()
        same = len(again) == len(output) and all(
            a.shape == b.shape and a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
            for a, (b, _) in zip(again, output, strict=True)
        )
        return None if same else "its second run gave another output than the first"


def _drop(tensor: Any) -> Any:
    """Save nothing for a backward that won't come."""


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """A module's attributes as they are now: buffers and other tensors cloned, containers copied one level deep."""
    kept: dict[str, Any] = {}
    for name, value in module.__dict__.items():
        if name == "_buffers":
            kept[name] = {k: None if b is None else b.detach().clone() for k, b in value.items()}
        elif name in ("_parameters", "_modules") or name.endswith("_hooks"):
            kept[name] = value
        elif isinstance(value, Tensor) and not value.requires_grad:
            kept[name] = value.detach().clone()
        elif isinstance(value, (list, dict, set)):
            kept[name] = value.copy()
        else:
            kept[name] = value
    return kept


@contextlib.contextmanager
def _put_back(start: dict[str, Any]) -> Iterator[None]:
    """Set modules and random generators to ``start``; afterwards to what they were, the very same objects.

    The run's own buffers are swapped out, not overwritten: a write would raise their version, and the run's backward
    would refuse them.
    """
    now = _random_state()
    attributes = [(module, dict(module.__dict__)) for module, _ in start["attributes"]]
    hooks_now = {name for name in nn.Module().__dict__ if name.endswith("_hooks")}
    try:
        for module, kept in start["attributes"]:
            live = {k: v for k, v in module.__dict__.items() if k in hooks_now}
            module.__dict__.clear()
            module.__dict__.update(kept | live)
        _set_random_state(start["rng"])
        yield
    finally:
        for module, kept in attributes:
            module.__dict__.clear()
            module.__dict__.update(kept)
        _set_random_state(now)


def _random_state() -> dict[str, Any]:
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": np.random.get_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
