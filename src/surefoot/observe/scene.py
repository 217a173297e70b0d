"""Who takes part in the run: its models and optimisers, kept up to date as new ones turn up."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.by_hand import ByHand
from surefoot.observe.clock import Clock, OptimizerState
from surefoot.observe.discover import Models, census, find_models, optimizer_name
from surefoot.observe.lone_order import lone_orders
from surefoot.observe.own_names import own_names
from surefoot.observe.rows import Rows
from surefoot.observe.script_text import script_text
from surefoot.observe.sharded import shards
from surefoot.observe.signals.gradients import parameters_of
from surefoot.observe.skips import Skips
from surefoot.observe.unscaled import is_unscaled


class Scene:
    """Models and optimisers of the run.

    Parameters
    ----------
    rows : told of layers and optimisers, which are the columns of its families
    tell : takes an event ``(kind, **data)``
    clock : counts for the optimisers that are met
    models, optimizers : keep to these; None takes whatever the script trains
    """

    def __init__(
        self,
        rows: Rows,
        tell: Callable[..., None],
        clock: Clock,
        models: Sequence[nn.Module] | None,
        optimizers: Sequence[Optimizer] | None,
    ) -> None:
        self.clock = clock
        self.models = Models()
        self.discovered = False
        self.on_accelerator = False  # some parameter is not on the CPU
        self.checkpointing = False  # the graph of a checkpointed model can't be read without running its forward again
        self.scaler: Any = None
        self.skips: dict[str, Skips] = {}  # by optimiser
        self.schedulers: list[weakref.ref[Any]] = []
        self.loaders: list[weakref.ref[Any]] = []
        self.tensors: list[weakref.ref[Tensor]] = []  # of data
        self.borrowing = False  # a gradient pass of ours is under way: hooks on tensors of the graph are not to mind it
        self.replicated: set[int] = set()  # ids of parameters that DistributedDataParallel keeps equal on all ranks
        self._orders_told = False
        self.nonfinite_told = False  # the first culprit was named; what follows are its consequences
        self._rows = rows
        self._tell = tell
        self._given_models = None if models is None else list(models)
        self._given_optimizers = None if optimizers is None else {id(o) for o in optimizers}
        self._shard_of: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # ids of gathered parameters and their shards
        self._stand_ins: list[tuple[weakref.ref[Tensor], Tensor]] = []  # what is trained by hand, and a leaf of ours
        self._strangers: set[int] = set()  # parameters of models that are not to be watched
        self._holdings: list[tuple[OptimizerState, type, list[weakref.ref[Tensor]]]] = []  # of all optimisers met

    @property
    def any_optimizer(self) -> bool:
        """Whether no choice of optimisers was given."""
        return self._given_optimizers is None

    def follows(self, optimizer: Optimizer) -> bool:
        """Whether this optimiser's steps count."""
        return self._given_optimizers is None or id(optimizer) in self._given_optimizers

    def roots(self) -> list[nn.Module]:
        """The live models that run eagerly."""
        return [m for r in self.models.roots if not r.compiled and (m := r.module()) is not None]

    def wrappers(self) -> list[nn.Module]:
        """What ``torch.compile`` made of live models, in place or not, each the outermost module that is called."""
        return [m for r in self.models.roots if r.wrapper is not None and (m := r.wrapper()) is not None]

    def layer_names(self) -> list[str]:
        """Names of the layers in order of execution."""
        return [layer.name for layer in self.models.layers]

    def held(self) -> set[int]:
        """Ids of all parameters that a known optimiser holds, if it does not rest, as one of an earlier stage does.
        What stands for one is none if the script has others, and nothing was ever changed by hand."""
        active = [s for s in self.clock.states if self.clock.rests_since(s) is None]
        states = [(s.count, o) for s in active if (o := s.ref()) is not None]
        told = any(count and not isinstance(o, ByHand) for count, o in states)
        owners = [o for count, o in states if count or not (told and isinstance(o, ByHand))]
        held = {id(p) for o in owners for group in o.param_groups for p in group["params"]}
        return held | {whole for whole, (ref, shard) in self._shard_of.items() if shard in held and ref() is not None}

    def holder_of(self, parameter: Tensor) -> Optimizer | None:
        """The script's optimiser that holds a parameter, if one does."""
        for optimizer in self.clock.optimizers:
            held = (p for group in optimizer.param_groups for p in group["params"])
            if not isinstance(optimizer, ByHand) and any(p is parameter for p in held):
                return optimizer
        return None

    def update(self, leaves: Sequence[Tensor], parameters: Sequence[Tensor] = ()) -> None:
        """Make sure that everything in a loss's graph, or in an optimiser, is known."""
        unknown = {id(x) for x in leaves if isinstance(x, nn.Parameter) and self.models.find(x) is None}
        if not self.discovered or not unknown <= self._strangers:
            self._discover(leaves, parameters)
            self._strangers = {id(x) for x in leaves if self.models.find(x) is None}

    def meet_again(self, leaves: Sequence[Tensor]) -> None:
        """Look for models and optimisers anew, as at the beginning."""
        self._discover(leaves, ())

    def find_schedulers(self) -> None:
        """Look for schedulers anew: an optimiser of what is known already brings no other look with it."""
        self.schedulers = [weakref.ref(s) for s in census().schedulers]

    def stand_for(self, tensors: Sequence[Tensor], leaves: Sequence[Tensor]) -> None:
        """``leaves`` of ours stand for these ``tensors``, which the script trains by hand, and may have replaced."""
        known, pairs = self._stand_ins, list(zip(tensors, leaves, strict=True))
        if [id(ref()) for ref, _ in known] == [id(tensor) for tensor in tensors]:
            return
        self._stand_ins = [(weakref.ref(tensor), leaf) for tensor, leaf in pairs]
        if not known:
            self._discover((), leaves)
            return
        for tensor, leaf in pairs:
            self.models.stand_for(tensor, leaf)
        self._shard_of = {id(tensor): (weakref.ref(tensor), id(leaf)) for tensor, leaf in pairs}

    def trained_by_hand(self) -> frozenset[int]:
        """Ids of what is trained by hand, in the place of which something of ours stands."""
        return frozenset(id(tensor) for ref, _ in self._stand_ins if (tensor := ref()) is not None)

    def state_of(self, optimizer: Optimizer, in_backward: bool = False) -> OptimizerState:
        """What is known of an optimiser, met for the first time or not; ``in_backward`` if it steps inside one."""
        state = self.clock.known(optimizer)
        if state is None and not self.discovered:
            self._discover((), parameters_of(optimizer))
            state = self.clock.known(optimizer)
        if state is None:
            states = self.clock.states
            names = [s.name for s in states]
            group = next((s.name for s in states if s.in_backward), None) if in_backward else None
            name = group if group is not None else optimizer_name(optimizer, names) if states else ""
            state = self._add(optimizer, name, in_backward)
        return state

    def skips_of(self, state: OptimizerState) -> Skips:
        """The steps of an optimiser that a gradient scaler took and skipped."""
        return self.skips.setdefault(state.name, Skips())

    def gradient_scale(self, optimizer: Optimizer | None) -> Tensor | None:
        """What gradients are multiplied by at this moment, where they are; ``optimizer`` is the one that steps, if any.

        None stands for 1.
        """
        scaler = self.scaler
        if scaler is None or not scaler.is_enabled():
            return None
        if optimizer is not None:
            # inside its step gradients are unscaled, but for optimisers that do it themselves
            scale = getattr(optimizer, "grad_scale", None)
            return scale if isinstance(scale, Tensor) else None
        return None if is_unscaled(scaler) else scaler._scale

    def loss_scale(self) -> Tensor | None:
        """What the loss is multiplied by when its backward begins; None stands for 1."""
        return self.scaler._scale if self.scaler is not None and self.scaler.is_enabled() else None

    def _discover(self, leaves: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        self.discovered = True  # or failed to be: it is not tried at every step
        found = census()
        self.checkpointing = self.checkpointing or found.checkpointing
        modules = found.modules
        optimizers = _outermost([o for o in found.optimizers if self.follows(o) and not isinstance(o, ByHand)])
        if self.scaler is None and len(found.scalers) == 1:
            self.scaler = found.scalers[0]
        self.schedulers = [weakref.ref(s) for s in found.schedulers]
        self.loaders = [weakref.ref(loader) for loader in found.loaders]
        self.tensors = [weakref.ref(tensor) for tensor in found.tensors]
        self.replicated = {
            id(p)
            for m in modules
            if type(m).__name__ == "DistributedDataParallel" and (inner := m._modules.get("module")) is not None
            for name, p in inner.named_parameters()
            if name not in getattr(m, "parameters_to_ignore", ())
        }
        wanted = [p for o in optimizers for p in parameters_of(o)]
        wanted += [leaf for _, leaf in self._stand_ins]
        if self._given_models is None:
            wanted += [x for x in leaves if isinstance(x, nn.Parameter)]
        else:
            modules = [m for given in self._given_models for m in given.modules()]
            wanted += [p for m in self._given_models for p in m.parameters()]
        gathered = [*shards(found.modules), *self._stood_for(modules)]
        self._shard_of = {id(whole): (weakref.ref(whole), id(shard)) for whole, shard in gathered}
        whole = {id(w): s for w, s in gathered}
        known = list({id(p): p for p in (whole.get(id(p), p) for p in (*wanted, *parameters))}.values())
        self.on_accelerator = not all(p.is_cpu for p in known)
        self.models = find_models(modules, known, gathered)
        first_use: dict[str, int] = {}
        for place, leaf in enumerate(leaves):
            owned = self.models.find(leaf)
            if owned is not None:
                first_use.setdefault(owned.layer.name, place)
        self.models.order_by(first_use)
        fresh = [o for o in optimizers if self.clock.known(o) is None]
        if len(fresh) > 1:
            # one optimiser a parameter, stepping as soon as its gradient is there, are met when they do
            fresh = [o for o in fresh if not all(map(_fires_in_backward, parameters_of(o)))]
        single = not self.clock.states and len(fresh) == 1
        for optimizer in fresh:
            taken = [s.name for s in self.clock.states]
            self._add(optimizer, "" if single else optimizer_name(optimizer, taken))
        self._rows.set_layers(self.layer_names())
        self._tell(
            "modules",
            root=", ".join(type(m).__name__ for r in self.models.roots if (m := r.module()) is not None),
            modules=[
                {"name": layer.name, "type": layer.type, "parameters": layer.numel, "depth": depth}
                for depth, layer in enumerate(self.models.layers)
            ],
        )
        self._look_up_names()
        self._look_up_orders()

    def _stood_for(self, modules: Sequence[nn.Module]) -> list[tuple[Tensor, Tensor]]:
        """Tensors that are trained by hand with their stand-ins. Those of a functional call are none of a module's own
        parameters, but have their names where all shapes agree."""
        pairs = [(tensor, leaf) for ref, leaf in self._stand_ins if (tensor := ref()) is not None]
        if not pairs or any(isinstance(tensor, nn.Parameter) for tensor, _ in pairs):
            return pairs
        leaves = [leaf for _, leaf in pairs]
        for module in modules:
            own = list(module.parameters())
            if [p.shape for p in own] == [leaf.shape for leaf in leaves]:
                return [*pairs, *zip(own, leaves, strict=True)]
        return pairs

    def _look_up_names(self) -> None:
        """Tell what the script calls its model, optimiser and loss function, where it does not call them so."""
        roots, owners = self.models.roots, [o for s in self.clock.states if (o := s.ref()) is not None]
        near, made = own_names(roots[0].module() if len(roots) == 1 else None, owners[0] if len(owners) == 1 else None)
        if any(name != usual for names in (near, made) for usual, name in names.items()):
            self._tell("names", near=near, made=made)

    def _look_up_orders(self) -> None:
        """Tell, once, of rows that the script puts in another order than what belongs to them."""
        if self._orders_told:
            return
        self._orders_told = True
        for found in lone_orders(script_text()):
            self._tell("lone_order", **asdict(found))

    def _add(self, optimizer: Optimizer, name: str, in_backward: bool = False) -> OptimizerState:
        before = None if in_backward or not self.clock.steps else self._holder(optimizer)
        if before is not None:
            self.clock.hand_over(before, optimizer)
            self._tell("optimizers", optimizers=[_describe(s) for s in self.clock.states], renewed=before.name)
            return before
        self._rows.optimizer(name)
        joins = in_backward and any(s.in_backward for s in self.clock.states)
        state = self.clock.add(optimizer, name, in_backward)
        if not in_backward:
            refs = [weakref.ref(p) for p in parameters_of(optimizer)]
            self._holdings.append((state, type(optimizer), refs))
        if not joins:
            self._tell("optimizers", optimizers=[_describe(s) for s in self.clock.states])
        return state

    def _holder(self, optimizer: Optimizer) -> OptimizerState | None:
        """The state of one of the same kind that held the same parameters, which this one is made in the place of."""
        parameters = parameters_of(optimizer)
        for state, kind, refs in reversed(self._holdings):
            same = kind is type(optimizer) and len(refs) == len(parameters) > 0
            if same and all(ref() is p for ref, p in zip(refs, parameters, strict=True)):
                return state
        return None


def _fires_in_backward(parameter: Tensor) -> bool:
    """Whether something is to be called, inside a backward, when this parameter's gradient is complete."""
    return bool(getattr(parameter, "_post_accumulate_grad_hooks", None)) or hasattr(
        parameter, "_in_backward_optimizers"
    )


def _outermost(optimizers: Sequence[Optimizer]) -> list[Optimizer]:
    """Those whose steps count: of a wrapper and what it wraps, the wrapper, if torch tells of its steps at all."""
    told = [o for o in optimizers if getattr(type(o).step, "hooked", False)]
    wrapped = {id(value) for o in told for value in vars(o).values() if isinstance(value, Optimizer)}
    return [o for o in told if id(o) not in wrapped]


def _describe(state: OptimizerState) -> dict[str, Any]:
    optimizer = state.ref()
    if optimizer is None:  # the first of several that step inside a backward is gone
        return {"name": state.name, "type": "", "parameters": 0, "defaults": {}}
    return {
        "name": state.name,
        "type": type(optimizer).__name__,
        "parameters": sum(p.numel() for g in optimizer.param_groups for p in g["params"]),
        "weight_decay": max((float(g.get("weight_decay") or 0.0) for g in optimizer.param_groups), default=0.0),
        "defaults": {k: v for k, v in optimizer.defaults.items() if isinstance(v, (int, float, bool, str, tuple))},
    }
