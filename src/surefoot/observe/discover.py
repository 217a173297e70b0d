"""Find the models and optimisers of a script that was not written to be watched.

Nothing is hooked for it. Parameters come from the optimisers and from the loss's graph; the modules that own them are
looked for once among the objects that Python's garbage collector knows (a few 10 ms), and again only when parameters
turn up that no known module owns.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

# Module types whose output is an activation, and how a signal calls it.
ACTIVATION_TYPES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardtanh: "hardtanh",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Softsign: "softsign",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.LeakyReLU: "leaky_relu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.Softplus: "softplus",
}
_LISTS = (nn.ParameterList, nn.ParameterDict)
_CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)


@dataclass(slots=True)
class Layer:
    """One module with parameters of its own (or a bare parameter that no module owns)."""

    name: str
    type: str
    numel: int  # elements of its own parameters
    module: weakref.ref[nn.Module] | None
    unit_dim: int = -1  # the dimension of its output that holds units


@dataclass(slots=True)
class Root:
    """A model: the outermost module below every wrapper, and its name in signals ("" where there is one)."""

    name: str
    module: weakref.ref[nn.Module]
    compiled: bool = False
    wrapper: weakref.ref[nn.Module] | None = None  # what ``torch.compile`` made of it (itself, in place), and is called


@dataclass(slots=True)
class Owned:
    """A parameter of a layer. Held weakly: to be watched must not keep a model alive."""

    ref: weakref.ref[Tensor]
    layer: Layer
    path: str  # its full name


@dataclass(slots=True)
class Models:
    """What was found: models, their layers in order of execution, and which layer owns which parameter."""

    roots: list[Root] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    owned: dict[int, Owned] = field(default_factory=dict)  # by id of the parameter
    index: dict[str, int] = field(default_factory=dict)  # layer name → its place

    def find(self, parameter: Tensor) -> Owned | None:
        """What is known of a parameter; None if no known layer owns it."""
        owned = self.owned.get(id(parameter))
        # an id is given again after its owner died
        return owned if owned is not None and owned.ref() is parameter else None

    def stand_for(self, tensor: Tensor, leaf: Tensor) -> None:
        """``tensor`` is what ``leaf``, which is known, stands for now."""
        known = self.owned[id(leaf)]
        gone = [key for key, owned in self.owned.items() if owned.path == known.path and owned.ref() is None]
        for key in gone:
            del self.owned[key]
        self.owned[id(tensor)] = Owned(weakref.ref(tensor), known.layer, known.path)

    def place(self, parameter: Tensor) -> int | None:
        """The place of the layer that owns a parameter."""
        owned = self.find(parameter)
        return None if owned is None else self.index[owned.layer.name]

    def order_by(self, first_use: dict[str, int]) -> None:
        """Sort the layers by when the forward used them; those never used keep their place behind the one before."""
        last = -1
        keys: dict[str, tuple[int, int]] = {}
        for place, layer in enumerate(self.layers):
            last = first_use.get(layer.name, last)
            keys[layer.name] = (last, place)
        self.layers.sort(key=lambda layer: keys[layer.name])
        self.index = {layer.name: place for place, layer in enumerate(self.layers)}


@dataclass(slots=True)
class Census:
    """Live objects of interest, found in one pass over the garbage collector's list."""

    modules: list[nn.Module] = field(default_factory=list)
    optimizers: list[Optimizer] = field(default_factory=list)
    scalers: list[Any] = field(default_factory=list)
    schedulers: list[Any] = field(default_factory=list)  # of learning rates
    loaders: list[Any] = field(default_factory=list)  # data loaders
    tensors: list[Tensor] = field(default_factory=list)  # of data: rows of numbers that take no gradient
    checkpointing: bool = False  # activation checkpoints are alive: reading their graph would run the forward again


def census() -> Census:
    """Look through all live objects once.

    Types are asked, not instances: an ``isinstance`` would call a lazy proxy's ``__class__``.
    """
    found = Census()
    kinds: dict[type, int] = {}
    scaler = torch.amp.grad_scaler.GradScaler
    for obj in gc.get_objects():
        kind = type(obj)
        code = kinds.get(kind)
        if code is None:
            mro = kind.__mro__
            code = 1 if nn.Module in mro else 2 if Optimizer in mro else 3 if scaler in mro else 0
            code = 5 if LRScheduler in mro else code
            code = 6 if DataLoader in mro else code
            code = 7 if kind is Tensor else code
            if kind.__name__ == "_CheckpointFrame" and kind.__module__ == "torch.utils.checkpoint":
                code = 4
            kinds[kind] = code
        if code == 1:
            found.modules.append(obj)
        elif code == 2:
            found.optimizers.append(obj)
        elif code == 3:
            found.scalers.append(obj)
        elif code == 4:
            found.checkpointing = True
        elif code == 5:
            found.schedulers.append(obj)
        elif code == 6:
            found.loaders.append(obj)
        elif code == 7 and obj.dim() > 0 and not obj.requires_grad:
            found.tensors.append(obj)
    return found


def unwrap(module: nn.Module) -> tuple[nn.Module, bool]:
    """The module below wrappers (DistributedDataParallel, DataParallel, torch.compile), and whether it is compiled."""
    compiled = False
    while True:
        name = type(module).__name__
        if name == "OptimizedModule" and isinstance(getattr(module, "_orig_mod", None), nn.Module):
            compiled, module = True, module._orig_mod  # type: ignore[assignment]
        elif name in ("DistributedDataParallel", "DataParallel") and isinstance(
            module._modules.get("module"), nn.Module
        ):
            module = module._modules["module"]  # type: ignore[assignment]
        else:
            return module, compiled or getattr(module, "_compiled_call_impl", None) is not None


def find_models(
    modules: Iterable[nn.Module], parameters: Sequence[Tensor], gathered: Sequence[tuple[Tensor, Tensor]] = ()
) -> Models:
    """Group ``parameters`` by the modules that own them, and those by the models they belong to.

    ``gathered`` are parameters that stand, in a module or in a graph, for shards of theirs, as (whole, shard).

    Parameters that no module owns, and those in lists, become layers of their own, a bias with its weight. Shared ones
    belong to the module defined first.
    """
    wanted = {id(p) for p in parameters}
    shard_of = {id(whole): shard for whole, shard in gathered if id(shard) in wanted}
    every = [m for m in modules if "_parameters" in m.__dict__]
    children = {id(c) for m in every for c in m._modules.values() if c is not None}
    tops: list[nn.Module] = []
    compiled: dict[int, weakref.ref[nn.Module] | None] = {}  # id of a model → its wrapper
    for module in every:
        if id(module) in children:
            continue
        below, is_compiled = unwrap(module)
        if is_compiled:
            called = module is below or getattr(module, "_orig_mod", None) is below
            compiled[id(below)] = weakref.ref(module) if called else None
        if all(below is not top for top in tops) and any(
            id(p) in wanted or id(p) in shard_of for p in below.parameters()
        ):
            tops.append(below)
    # a module reachable from two tops (an EMA helper that keeps the model in a list, say) is named once, by the larger
    tops.sort(key=lambda m: -sum(1 for _ in m.parameters()))

    found = Models()
    names = _names_of(tops)
    listed: dict[tuple[str, str], tuple[Tensor, Layer]] = {}
    for top, prefix in zip(tops, names, strict=True):
        fresh = False
        for path, module in top.named_modules():
            path = ".".join(part for part in path.split(".") if part != "_orig_mod")  # of a part that is compiled
            held = [(n, shard_of.get(id(p), p)) for n, p in module._parameters.items() if p is not None]
            own = [(n, p) for n, p in held if id(p) not in found.owned]
            if not own:
                continue
            fresh = True
            name = ".".join(part for part in (prefix, path) if part) or type(top).__name__
            if isinstance(module, _LISTS):
                _add_listed(found, name, own, listed)
                continue
            unit_dim = 1 if isinstance(module, _CHANNELS_FIRST) else -1
            numel = sum(p.numel() for _, p in own)
            layer = Layer(name, type(module).__name__, numel, weakref.ref(module), unit_dim)
            for parameter_name, parameter in own:
                full = f"{name}.{parameter_name}" if path or prefix else parameter_name
                found.owned[id(parameter)] = Owned(weakref.ref(parameter), layer, full)
            found.layers.append(layer)
        if fresh:
            found.roots.append(Root(prefix, weakref.ref(top), id(top) in compiled, compiled.get(id(top))))
    whole_of = {id(shard): whole for whole, shard in gathered}
    weight: Tensor | None = None
    for number, parameter in enumerate(p for p in parameters if id(p) not in found.owned):
        name = _global_name(whole_of.get(id(parameter), parameter)) or f"parameter.{number}"
        if weight is not None and parameter.dim() == 1 and len(parameter) in (weight.shape[0], weight.shape[-1]):
            layer = found.layers[-1]  # its bias
            layer.numel += parameter.numel()
        else:
            layer = Layer(name, "Parameter", parameter.numel(), None)
            found.layers.append(layer)
        weight = parameter if parameter.dim() > 1 else None
        found.owned[id(parameter)] = Owned(weakref.ref(parameter), layer, name)
    for whole, shard in gathered:
        if id(shard) in found.owned:
            owner = found.owned[id(shard)]
            found.owned[id(whole)] = Owned(weakref.ref(whole), owner.layer, owner.path)
    found.index = {layer.name: place for place, layer in enumerate(found.layers)}
    return found


def _add_listed(
    found: Models, name: str, own: Sequence[tuple[str, Tensor]], weights: dict[tuple[str, str], tuple[Tensor, Layer]]
) -> None:
    """Each parameter that a list of parameters holds is a layer of its own, as one that no module owns.

    A bias belongs to the weight of the same key in another list of the same parent, which ``weights`` knows by both.
    """
    for key, parameter in own:
        place = name.rpartition(".")[0], key
        weight, layer = weights.get(place, (parameter, None))
        if layer is None or parameter.dim() != 1 or len(parameter) not in (weight.shape[0], weight.shape[-1]):
            layer = Layer(f"{name}.{key}", "Parameter", 0, None)
            found.layers.append(layer)
            if parameter.dim() > 1:
                weights[place] = parameter, layer
        layer.numel += parameter.numel()
        found.owned[id(parameter)] = Owned(weakref.ref(parameter), layer, f"{name}.{key}")


def _names_of(tops: list[nn.Module]) -> list[str]:
    """ "" for a single model; else the script's own global names, or class names, made unique."""
    if len(tops) <= 1:
        return [""] * len(tops)
    names: list[str] = []
    for top in tops:
        base = _global_name(top) or type(top).__name__
        name, number = base, 2
        while name in names:
            name, number = f"{base}{number}", number + 1
        names.append(name)
    return names


def _global_name(obj: object) -> str | None:
    """The name that the script's module gives to an object, or a collection of its with the object's place in it."""
    main = sys.modules.get("__main__")
    for name, value in list(vars(main).items()) if main is not None else ():
        if name.startswith("_"):
            continue
        if value is obj:
            return name
        held = value.items() if type(value) is dict else enumerate(value) if type(value) in (list, tuple) else ()
        for key, element in held:
            if element is obj:
                return f"{name}.{key}"
    return None


def optimizer_name(optimizer: Optimizer, taken: Iterable[str]) -> str:
    """The script's own global name for an optimiser, or its class name, made unique among ``taken``."""
    base = _global_name(optimizer) or type(optimizer).__name__
    taken = set(taken)
    name, number = base, 2
    while name in taken:
        name, number = f"{base}{number}", number + 1
    return name
