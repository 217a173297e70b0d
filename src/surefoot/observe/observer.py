"""Composes clock, budget, discovery and the means of looking into one observer of a training loop.

Its entry points are called by :mod:`surefoot.observe.patches`; none of them raises, and each accounts for its own time.
A step's values are gathered until an optimiser steps, for only then it is known whose step it was.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.budget import Budget
from surefoot.observe.clock import Clock, OptimizerState
from surefoot.observe.culprit import find_culprit
from surefoot.observe.discover import Models, census, find_models, optimizer_name
from surefoot.observe.graph import GraphView, LossSite, read_graph
from surefoot.observe.look import Hooks, ModuleReader, Replay, borrow
from surefoot.observe.rows import Rows, Sink
from surefoot.observe.signals.activations import ActivationReader
from surefoot.observe.signals.gradients import parameters_of, read_gradients
from surefoot.observe.signals.logits import read_logits
from surefoot.observe.signals.loss import constant_loss, loss_value
from surefoot.observe.signals.weights import Snapshot
from surefoot.observe.signals.wiring import MissedParameters, StaleProbe
from surefoot.observe.triggers import LossTrigger

MEANS = ("hooks", "borrow", "replay")
_FLUSH_EVERY = 1.0  # seconds between commits; a commit costs about a millisecond
_now = time.perf_counter


class Observer:
    """Watches one process's training.

    Parameters
    ----------
    sink : takes finished rows and events
    budget : decides which steps are looked at
    means : force one means of looking at activations; None takes the first that serves
    models : watch these modules only (None: whatever the script trains)
    optimizers : follow these optimisers only (None: all)
    """

    def __init__(
        self,
        sink: Sink,
        budget: Budget,
        means: str | None = None,
        models: Sequence[nn.Module] | None = None,
        optimizers: Sequence[Optimizer] | None = None,
    ) -> None:
        self.budget = budget
        self.clock = Clock()
        self.looks = dict.fromkeys(MEANS, 0)
        self.on = True
        self._sink = sink
        self._rows = Rows(sink)
        self._means = means
        self._given_models = None if models is None else list(models)
        self._given_optimizers = None if optimizers is None else {id(o) for o in optimizers}
        self._pid = os.getpid()
        self._thread = threading.get_ident()
        self._off: set[str] = set()  # signals that failed once

        self._models = Models()
        self._discovered = False
        self._strangers: set[int] = set()  # parameters of models that are not to be watched
        self._checkpointing = False
        self._scaler: Any = None
        self._activations = ActivationReader()
        self._hooks = Hooks(self._guard)
        self._replay = Replay(self._guard)
        self._replay_refused = False
        self._reader: ModuleReader | None = None
        self._missed = MissedParameters()
        self._probes: dict[int, StaleProbe] = {}
        self._triggers: dict[str, LossTrigger] = {}
        self._nonfinite_told: set[str] = set()

        # the look at the step that is under way
        self._armed = False
        self._credit = False
        self._cost = 0.0
        # what was gathered since the last optimiser step
        self._loss: float | None = None
        self._backwards = 0
        self._odd = False
        self._gathered: dict[str, Any] = {}
        # what is known between an optimiser's step begin and end
        self._snapshot: Snapshot | None = None
        self._rate = math.nan

        self._own = 0.0  # seconds of ours since the last tick
        self._last_tick: float | None = None
        self._last_flush = _now()
        self._arm(1)

    # -- entry points ------------------------------------------------------------------------------------------------

    def before_backward(self, tensors: Any) -> None:
        """The script is about to run a backward."""
        if not self.on or threading.get_ident() != self._thread:
            return
        start = _now()
        self._guard("loss", self._read_loss, tensors)
        self._backwards += 1
        if self._armed and self._backwards == 1:
            self._look_at_graph(tensors)
        if self._probes:
            for probe in self._probes.values():
                self._guard("wiring", probe.before_backward)
        self._own += _now() - start

    def after_backward(self) -> None:
        """The script's backward is over."""
        if self.on and self._probes and threading.get_ident() == self._thread:
            start = _now()
            for probe in self._probes.values():
                self._guard("wiring", probe.after_backward)
            self._own += _now() - start

    def before_clip(self, parameters: Any) -> None:
        """The script is about to clip gradients: read them now."""
        if self.on and self._armed and not self.clock.inside_step and threading.get_ident() == self._thread:
            start = _now()
            given = [parameters] if isinstance(parameters, Tensor) else parameters
            self._guard("gradients", self._read_before_clip, given)
            self._own += _now() - start

    def scaled_by(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler is about to step ``optimizer``."""
        self._scaler = scaler

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimiser's step begins."""
        if not self.on or threading.get_ident() != self._thread or not self._follows(optimizer):
            return
        start = _now()
        if self.clock.enter(optimizer):
            self._guard("clock", self._begin_step, optimizer)
        self._own += _now() - start

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimiser's step is over."""
        if not self.on or threading.get_ident() != self._thread or not self._follows(optimizer):
            return
        start = _now()
        if self.clock.leave(optimizer):
            self._guard("clock", self._end_step, optimizer, start)
        self._own += _now() - start

    def close(self) -> None:
        """Hand over what is gathered and leave no hook behind."""
        self._hooks.take_off()
        self._replay.take_off()
        self._guard("record", self._rows.complete, None)
        self.on = False

    def drop(self) -> None:
        """Stop at once, touching nothing: this process is a fork of the watched one."""
        self.on = False

    # -- one step ----------------------------------------------------------------------------------------------------

    def _read_loss(self, tensors: Any) -> None:
        value = loss_value(tensors)
        if value is None:
            return
        if self._scaler is not None and self._scaler.is_enabled() and self._scaler._scale is not None:
            value /= self._scaler.get_scale()
        self._loss = value if self._loss is None else self._loss + value
        if not math.isfinite(value) and "loss" not in self._nonfinite_told:
            self._nonfinite_told.add("loss")
            self._guard("culprit", self._seek_culprit, tensors, value)

    def _begin_step(self, optimizer: Optimizer) -> None:
        state = self.clock.known(optimizer) or self._meet(optimizer)
        if self._armed:
            if not self._discovered:
                self._guard("discovery", self._discover, (), parameters_of(optimizer))
            self._guard("gradients", self._read_gradients, parameters_of(optimizer), state)
            self._guard("weights", self._take_snapshot, optimizer)
        rate = optimizer.param_groups[0].get("lr", math.nan)
        self._rate = float(rate) if not isinstance(rate, Tensor) or rate.device.type == "cpu" else math.nan

    def _end_step(self, optimizer: Optimizer, now: float) -> None:
        state = self.clock.known(optimizer)
        if state is None:
            return
        ticked = self.clock.tick(state)
        step = state.count
        if self._loss is not None:
            trigger = self._triggers.get(state.name)
            if trigger is None:
                trigger = self._triggers[state.name] = LossTrigger()
            if trigger.odd(self._loss):
                self._odd = True
                self.budget.burst()
        if self._armed or self._odd or step % self._stride == 0:
            self._guard("loss", self._write_scalars, state, step)
        if self._armed:
            self._write_look(optimizer, state, step)
        self._loss, self._backwards, self._odd = None, 0, False
        self._gathered = {}
        if ticked:
            self._tick(step, now)

    def _write_scalars(self, state: OptimizerState, step: int) -> None:
        start = _now()
        values = {"learning_rate": self._rate}
        if self._loss is not None:
            values["loss"] = self._loss
        if "constant_loss" in self._gathered:
            values["constant_loss"] = self._gathered["constant_loss"]
        self._rows.put(step, "step", state.name, **values)
        if state.count == self.clock.steps and self.budget.step_time > 0:
            self._rows.put(step, "step", "", step_time=self._step_seconds)
        spent = _now() - start
        self.budget.scalar_cost += (min(spent, 1e-3) - self.budget.scalar_cost) * 0.05

    _stride = 1
    _step_seconds = math.nan

    def _tick(self, step: int, now: float) -> None:
        """The run's own count advanced: settle the accounts of this step and decide about the next."""
        if self._rows.waiting:
            self._guard("record", self._rows.complete, step)
        if self._last_tick is not None:
            self._step_seconds = max(0.0, now - self._last_tick - self._own)
            self.budget.step_taken(self._step_seconds)
        if now - self._last_flush > _FLUSH_EVERY:
            self._last_flush = now
            self._stride = self.budget.scalar_stride()
            self._guard("record", self._sink.flush)
        end = _now()
        own = self._own + (end - now)
        if self._armed:
            self.budget.look_taken(own, self._credit)
            self._sink.event(step, "look", means=self._gone_by, cost_s=round(own, 6), credit=self._credit)
        else:
            self.budget.spent += own
        self._arm(step + 1)
        self._own = _now() - end
        self._last_tick = now

    # -- looking -----------------------------------------------------------------------------------------------------

    _gone_by = ""

    def _arm(self, step: int) -> None:
        """Decide whether ``step`` is looked at, and put on what that needs."""
        if self._hooks.outputs or self._reader is not None:
            self._hooks.take_off()
            self._replay.take_off()
            self._reader = None
        self._armed = self.budget.allows(step)
        if not self._armed:
            return
        self._credit = self.budget.on_credit(step)
        self._gone_by = ""
        if self._discovered:
            self._guard("activations", self._prepare_forward)

    def _prepare_forward(self) -> None:
        roots = [m for r in self._models.roots if not r.compiled and (m := r.module()) is not None]
        means = self._choose_means(roots)
        if means == "hooks":
            self._reader = ModuleReader(self._models, self._activations)
            self._activations.begin(knows_called=True)
            self._hooks.put_on(roots, self._reader)
        elif means == "replay":
            self._reader = ModuleReader(self._models, self._activations)
            self._activations.begin(knows_called=True)
            self._replay.put_on(roots[0])
        else:
            self._activations.begin(knows_called=False)
        self._gone_by = means or ""

    def _choose_means(self, roots: list[nn.Module]) -> str | None:
        if self._means == "replay" and (self._replay_refused or not roots):
            return None
        if self._means is not None:
            return self._means
        return "hooks" if roots and not _anything_compiled() else "borrow"

    def _look_at_graph(self, tensors: Any) -> None:
        """The script's graph is complete and its weights are what they were in the forward."""
        roots = [tensors] if isinstance(tensors, Tensor) else [t for t in tensors or () if isinstance(t, Tensor)]
        view = self._guard("graph", read_graph, roots)
        if view is None:
            return
        unknown = {id(x) for x in view.leaves if isinstance(x, nn.Parameter) and self._models.find(x) is None}
        if not self._discovered or not unknown <= self._strangers:
            self._guard("discovery", self._discover, view.leaves, ())
            self._strangers = {id(x) for x in view.leaves if self._models.find(x) is None}
        if self._reader is not None and self._replay._start is not None:
            self._guard("replay", self._run_replay, self._reader)
        self._guard("activations", self._read_activations, view)
        if view.loss is not None:
            self._guard("logits", self._read_loss_site, view.loss)
        held = {id(p) for s in self.clock.states for g in s.ref().param_groups for p in g["params"]}  # type: ignore[union-attr]
        self._gathered["missed"] = self._guard("wiring", self._missed.missed, view.leaves, held, self._models)

    def _run_replay(self, reader: ModuleReader) -> None:
        refused = self._replay.run(reader)
        if refused is not None:
            self._replay_refused = True
            self._gone_by = ""
            self._activations.begin(knows_called=False)
            self.note(f"replay is off: {refused}")

    def _read_activations(self, view: GraphView) -> None:
        reader = self._reader
        if reader is not None and reader.saved_hooks_seen:
            self._checkpointing = True
        if not self._gone_by and self._means in (None, "borrow"):
            self._gone_by = "borrow"
            self._activations.begin(knows_called=False)
        if self._checkpointing or self._means in ("hooks", "replay"):
            return  # reading a checkpointed graph would run the forward again
        if self._gone_by == "hooks":
            # only activations that are functions are left for the graph to show
            borrow(view, self._models, self._activations, self._activations.with_activation, with_moments=False)
        else:
            borrow(view, self._models, self._activations, set(), with_moments=True)

    def _read_loss_site(self, loss: LossSite) -> None:
        output = next(
            (o for o in self._hooks.outputs if loss.input_node is not None and o.grad_fn is loss.input_node), None
        )
        values = read_logits(loss, None if output is None else output.detach())
        self._gathered["constant_loss"] = constant_loss(loss)
        self._gathered["logits"] = (loss.name, values)

    def _read_before_clip(self, parameters: Sequence[Tensor]) -> None:
        if self._discovered and "gradients" not in self._gathered:
            self._gathered["gradients"] = read_gradients(parameters, self._models, self._gradient_scale(None))
            self._snapshot = Snapshot(parameters, self._models)
            self._snapshot.keep_gradients()
            self._gathered["clipped"] = {id(p) for p in parameters}

    def _read_gradients(self, parameters: list[Tensor], state: OptimizerState) -> None:
        optimizer = state.ref()
        if "gradients" in self._gathered and {id(p) for p in parameters} <= self._gathered["clipped"]:
            return
        self._snapshot = None
        self._gathered["gradients"] = read_gradients(parameters, self._models, self._gradient_scale(optimizer))

    def _take_snapshot(self, optimizer: Optimizer) -> None:
        if self._snapshot is None:
            self._snapshot = Snapshot(parameters_of(optimizer), self._models)
            self._snapshot.keep_gradients()

    def _gradient_scale(self, optimizer: Optimizer | None) -> float:
        """What the gradients are multiplied by at this moment."""
        scaler = self._scaler
        if scaler is None or not scaler.is_enabled() or scaler._scale is None:
            return 1.0
        if optimizer is not None:
            # inside the step gradients are unscaled, but for optimisers that do it themselves
            scale = getattr(optimizer, "grad_scale", None)
            return float(scale) if isinstance(scale, Tensor) else 1.0
        stages = [s.get("stage") for s in scaler._per_optimizer_states.values()]
        unscaled = any(getattr(stage, "name", "") == "UNSCALED" for stage in stages)
        return 1.0 if unscaled else scaler.get_scale()

    def _write_look(self, optimizer: Optimizer, state: OptimizerState, step: int) -> None:
        gathered = self._gathered
        if "gradients" not in gathered and self._backwards:  # a closure inside the step computed them
            self._guard("gradients", self._read_gradients, parameters_of(optimizer), state)
        reading = gathered.get("gradients")
        if reading is not None:
            self._rows.put_layers(
                step,
                "gradients",
                gradient_rms=reading.gradient_rms,
                gradient_share=reading.gradient_share,
                gradient_nonfinite=reading.gradient_nonfinite,
            )
            self._rows.put(step, "gradients", state.name, gradient_norm=reading.gradient_norm)
            self._tell_nonfinite_gradient(step, reading.gradient_nonfinite)
        if self._snapshot is not None:
            weights = self._guard("weights", self._snapshot.compare, self._gradient_scale(optimizer))
            if weights is not None:
                self._rows.put_layers(step, "weights", weight_rms=weights.weight_rms, update_rms=weights.update_rms)
                self._rows.put(
                    step,
                    "weights",
                    state.name,
                    weight_norm=weights.weight_norm,
                    update_norm=weights.update_norm,
                    predicted_decrease=weights.predicted_decrease,
                )
            self._snapshot = None
        if "logits" in gathered:
            name, values = gathered["logits"]
            self._rows.put(step, "logits", name, **values)
        if not self._activations.empty:
            self._rows.put_layers(
                step, "activations", **self._activations.finish([layer.name for layer in self._models.layers])
            )
            if self._gone_by:
                self.looks[self._gone_by] += 1
        missed = gathered.get("missed")
        if missed is not None:
            self._rows.put(step, "wiring", "", missed_parameters=float(len(missed)))
            if missed:
                self._sink.event(step, "missed", parameters=missed[:50])
        probe = self._probes.pop(id(optimizer), None)
        if probe is not None and not math.isnan(probe.share):
            self._rows.put(step, "wiring", state.name, stale_gradient_share=probe.share)
        self._guard("wiring", self._plant_probe, optimizer)

    def _plant_probe(self, optimizer: Optimizer) -> None:
        self._probes[id(optimizer)] = StaleProbe(optimizer)

    def _tell_nonfinite_gradient(self, step: int, share: np.ndarray) -> None:
        broken = np.flatnonzero(np.nan_to_num(share) > 0)
        if len(broken) and not self._nonfinite_told:
            # a backward runs from the last layer to the first: the last one that is broken broke first
            self._nonfinite_told.add("gradient")
            where = self._models.layers[broken[-1]].name
            self._sink.event(step, "nonfinite", kind="gradient", where=where, operation="", value="nan")

    # -- finding out what is there -----------------------------------------------------------------------------------

    def _follows(self, optimizer: Optimizer) -> bool:
        return self._given_optimizers is None or id(optimizer) in self._given_optimizers

    def _meet(self, optimizer: Optimizer) -> OptimizerState:
        """An optimiser that was not seen before."""
        states = self.clock.states
        if not self._discovered:
            self._guard("discovery", self._discover, (), parameters_of(optimizer))
            known = self.clock.known(optimizer)
            if known is not None:
                return known
            states = self.clock.states
        name = "" if not states else optimizer_name(optimizer, [s.name for s in states])
        return self._add_optimizer(optimizer, name)

    def _add_optimizer(self, optimizer: Optimizer, name: str) -> OptimizerState:
        self._rows.optimizer(name)
        state = self.clock.add(optimizer, name)
        described = [self._describe(s) for s in self.clock.states]
        self._sink.event(self.clock.steps + 1, "optimizers", optimizers=described)
        return state

    @staticmethod
    def _describe(state: OptimizerState) -> dict[str, Any]:
        optimizer = state.ref()
        assert optimizer is not None
        return {
            "name": state.name,
            "type": type(optimizer).__name__,
            "parameters": sum(p.numel() for g in optimizer.param_groups for p in g["params"]),
            "defaults": {k: v for k, v in optimizer.defaults.items() if isinstance(v, (int, float, bool, str, tuple))},
        }

    def _discover(self, leaves: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        """Find models and optimisers; called again when parameters turn up that nobody knows."""
        found = census()
        self._checkpointing = self._checkpointing or found.checkpointing
        modules = found.modules
        optimizers = [o for o in found.optimizers if self._follows(o)]
        if self._given_models is not None:
            modules = [m for given in self._given_models for m in given.modules()]
        if self._scaler is None and len(found.scalers) == 1:
            self._scaler = found.scalers[0]
        held = [p for o in optimizers for p in parameters_of(o)]
        if self._given_models is None:
            held += [x for x in leaves if isinstance(x, nn.Parameter)]
        else:
            held += [p for m in self._given_models for p in m.parameters()]
        wanted = {id(p): p for p in (*held, *parameters)}
        self._models = find_models(modules, list(wanted.values()))
        self._discovered = True
        first_use: dict[str, int] = {}
        for place, leaf in enumerate(leaves):
            owned = self._models.find(leaf)
            if owned is not None:
                first_use.setdefault(owned.layer.name, place)
        self._models.order_by(first_use)
        fresh = [o for o in optimizers if self.clock.known(o) is None]
        single = not self.clock.states and len(fresh) == 1
        for optimizer in fresh:
            taken = [s.name for s in self.clock.states]
            self._add_optimizer(optimizer, "" if single else optimizer_name(optimizer, taken))
        self._rows.set_layers([layer.name for layer in self._models.layers])
        self._sink.event(
            self.clock.steps + 1,
            "modules",
            root=", ".join(type(m).__name__ for r in self._models.roots if (m := r.module()) is not None),
            modules=[
                {"name": layer.name, "type": layer.type, "parameters": layer.numel, "depth": depth}
                for depth, layer in enumerate(self._models.layers)
            ],
        )

    def _seek_culprit(self, tensors: Any, value: float) -> None:
        roots = [tensors] if isinstance(tensors, Tensor) else [t for t in tensors if isinstance(t, Tensor)]
        view = read_graph(roots)
        if not self._discovered:
            self._discover(view.leaves, ())
        text = "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        culprit = find_culprit(view, self._models, text, not self._checkpointing)
        self._sink.event(
            self.clock.steps + 1,
            "nonfinite",
            kind=culprit.kind,
            where=culprit.where,
            operation=culprit.operation,
            value=culprit.value,
        )

    # -- never in the way --------------------------------------------------------------------------------------------

    def _guard(self, signal: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function``; an exception of ours is told once and turns the signal off, the script goes on."""
        if signal in self._off:
            return None
        try:
            return function(*args)
        except Exception as error:
            self._off.add(signal)
            self.note(f"{signal} is off: {type(error).__name__}: {error}")
            return None

    def note(self, text: str) -> None:
        """Tell something once, to the record and on stderr."""
        print(f"surefoot: {text}; the run goes on", file=sys.stderr)
        try:
            self._sink.event(self.clock.steps + 1, "note", text=text)
        except Exception:
            self.on = False


def _anything_compiled() -> bool:
    """Whether torch.compile has compiled something in this process: a hook inside it would compile it again."""
    counters = getattr(sys.modules.get("torch._dynamo.utils"), "counters", None)
    return bool(counters and counters["frames"].get("total", 0))
