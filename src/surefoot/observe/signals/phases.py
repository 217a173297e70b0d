"""Whether the model trains in training mode, and which of its parameters stay as they were though they are held."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.by_hand import ByHand
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument
from surefoot.observe.script_text import script_text
from surefoot.observe.set_rates import sets_rates
from surefoot.observe.signals.gradients import local, parameters_of

SAMPLE = 64  # elements of a parameter that are compared
_NORM = nn.modules.batchnorm._NormBase
_ASKS: dict[type, bool] = {}  # classes of modules that were looked through


class TrainingMode(Instrument):
    """The mode of each model, and of its layers to which that makes a difference (dropout, batch normalisation, those
    of the script's own that read ``self.training``), in the forward of a training step.

    Of normalisation in evaluation mode also whether its running statistics have ever seen a batch: mean 0 and variance
    1 to the last bit are those that it was made with, and normalise nothing. The mode is read twice, when the backward
    begins and when the optimiser steps: a model that is in evaluation mode for a part of the step only (to make
    adversarial inputs, say) trains in training mode. Dropout, of which no weights of another stage tell, is counted by
    itself.
    """

    name: ClassVar[str] = "training mode"
    _seen: dict[str, tuple[float, float, float]] | None = None

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Read the mode of the models that this backward trains."""
        leaves = {id(leaf) for leaf in view.leaves}
        found = self._seen = self._seen or {}
        for root in self.tools.scene.models.roots:
            module = root.module()
            if module is None or root.name in found:
                continue
            # a frozen model is in whatever mode it likes, and so is one of which a head is trained
            held = [id(p) in leaves for p in module.parameters()]
            moody = [m for m in module.modules() if _moody(m)]
            if moody and 2 * sum(held) > len(held):
                dropouts = [m for m in moody if isinstance(m, nn.modules.dropout._DropoutNd)]
                found[root.name] = (float(not module.training), _off(moody), _off(dropouts))

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write it down for the models that this optimiser trains."""
        seen, self._seen = self._seen, None
        step = self.tools.scene.clock.steps
        held = {id(p) for p in parameters_of(optimizer)}
        for root in self.tools.scene.models.roots:
            module = root.module()
            if module is None or root.name not in (seen or {}) or all(id(p) not in held for p in module.parameters()):
                continue
            mode, share, dropout = seen[root.name]  # type: ignore[index]
            mode = min(mode, float(not module.training))
            shares = {"eval_mode_share": share, "eval_dropout_share": dropout}
            self.tools.rows.put(step, "mode", root.name, eval_mode=mode, **shares)
            self._norms(step, root.name, module)

    def _norms(self, step: int, name: str, module: nn.Module) -> None:
        fixed = [(m.running_mean, m.running_var) for m in module.modules() if isinstance(m, _NORM) and not m.training]
        kept = [(local(mean), local(var)) for mean, var in fixed if mean is not None and var is not None]
        if not kept:
            return
        unfed = [((mean == 0).all() & (var == 1).all()).float().reshape(1) for mean, var in kept]

        def write(found: list[np.ndarray]) -> None:
            self.tools.rows.put(step, "mode", name, unfed_norm_share=float(np.mean(found)))

        self.tools.ask(step, unfed, write)


def _off(modules: Sequence[nn.Module]) -> float:
    """Share of them in evaluation mode; NaN where there are none."""
    return sum(not m.training for m in modules) / len(modules) if modules else math.nan


def _moody(module: nn.Module) -> bool:
    """Training mode makes a difference to what this module does by itself."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, _NORM):
        return module.track_running_stats
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return module.dropout > 0
    return _asks_for_its_mode(type(module))


def _asks_for_its_mode(kind: type) -> bool:
    """A class of the script's own with a method that reads ``self.training``."""
    known = _ASKS.get(kind)
    if known is None:
        own = {} if kind.__module__.startswith("torch.") else vars(kind)
        codes = [getattr(method, "__code__", None) for name, method in own.items() if name not in ("train", "eval")]
        known = _ASKS[kind] = any(code is not None and "training" in code.co_names for code in codes)
    return known


@dataclass(slots=True)
class _First:
    """A parameter as it was at the first look, or the first with the optimiser that holds it."""

    ref: weakref.ref[Tensor]
    values: Tensor
    owner: weakref.ref[Optimizer]  # that optimiser; its id may be another's once it is gone
    rate: float = 0.0  # the highest learning rate seen since
    scheduled: bool = False  # that rate is a schedule's, which began from another one
    fixed: bool = False  # nothing will ever set it: a schedule that multiplies 0, or none


class Frozen(Instrument):
    """Which parameters that an optimiser holds have never changed since its first look, and why that may be.

    Read at looks 4, 8, 16, …, of the run and since the newest optimiser, and from the fourth on at each that falls on a
    step 2ᵏ: a few numbers of each parameter are compared with what they were, bit for bit.
    """

    name: ClassVar[str] = "frozen parameters"
    _looks = 0
    _since = 0  # the look at which newcomers were met last
    _sets: bool | None = None

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Remember the parameters at the first look, compare them with that at some later ones."""
        if state.count != self.tools.scene.clock.steps:
            return  # one optimiser's step of a look is enough
        if not self._looks:
            self._first: dict[int, _First] = {}
            self._told: list[tuple[str, str, bool, bool, bool]] = []
        self._looks += 1
        of_stage = self._looks - self._since
        due = self._looks >= 4 and any(map(_power_of_two, (self._looks, state.count, of_stage or 3)))
        held: list[tuple[OptimizerState, Tensor, _First]] = []
        for other in self.tools.scene.clock.states:
            owner = other.ref()
            if isinstance(owner, ByHand) and not other.count:
                continue  # nothing was changed by hand
            for group in owner.param_groups if owner is not None else ():
                rate = group.get("lr", 1.0)
                rate = 1.0 if isinstance(rate, Tensor) else float(rate)
                for parameter in group["params"]:
                    first = self._first.get(id(parameter))
                    if first is None or id(first.ref()) != id(parameter) or first.owner() is not owner:
                        if first is None and self._looks > 1 and not due:
                            continue  # a newcomer: it waits for the next comparison
                        self._since = self._looks
                        self._first[id(parameter)] = _First(
                            weakref.ref(parameter), sample(parameter).clone(), other.ref
                        )
                        continue
                    first.rate = max(first.rate, rate)
                    first.scheduled = bool(group.get("initial_lr"))
                    first.fixed = not first.scheduled and ("initial_lr" in group or not self._by_hand())
                    held.append((other, parameter, first))
        if due and held:
            self._compare(held)

    def _compare(self, held: list[tuple[OptimizerState, Tensor, _First]]) -> None:
        step, models = self.tools.scene.clock.steps, self.tools.scene.models
        held = [h for h in held if models.place(h[1]) is not None and h[2].values.numel()]
        same: list[Tensor] = []
        for state, parameter, first in held:
            gradient = parameter.grad
            now = sample(parameter)
            if gradient is None or now.shape != first.values.shape:
                same.append(torch.zeros((), device=parameter.device))
            elif gradient.is_sparse:
                # of a table, rows that were not looked up stay as they are: only one that is never stepped is judged
                given = (gradient._values() != 0).any() & (not state.count)
                same.append(((now == first.values).all() & given).float())
            else:
                same.append(((now == first.values).all() & (sample(gradient) != 0).any()).float())

        def write(found: list[np.ndarray]) -> None:
            count = len(models.layers)
            all_of, off, still = np.zeros(count), np.zeros(count), np.zeros(count)
            whose: dict[tuple[str, str, bool, bool, bool], list[str]] = {}
            shared = self._for_another_stage()
            for (state, parameter, first), value in zip(held, found, strict=True):
                owned = models.find(parameter)
                if owned is None:
                    continue
                place = models.index[owned.layer.name]
                all_of[place] += 1
                if not parameter.requires_grad:
                    off[place] += 1
                elif value and parameter.element_size() > 2:  # of low precision an update may round to nothing
                    still[place] += 1
                    why = "never stepped" if not state.count else "rate 0" if not first.rate else "other"
                    key = (state.name, why, first.scheduled, state.name in shared, why == "rate 0" and first.fixed)
                    whose.setdefault(key, []).append(owned.path)
            with np.errstate(invalid="ignore"):
                self.tools.rows.put_layers(step, "frozen", frozen_share=off / all_of, unchanged_share=still / all_of)
            if sorted(whose) != self._told:
                self._told = sorted(whose)
                for (name, why, scheduled, both, fixed), paths in whose.items():
                    told = {"optimizer": name, "why": why, "scheduled": scheduled, "shared": both, "fixed": fixed}
                    self.tools.tell("unchanged", **told, parameters=paths[:50], count=len(paths))

        self.tools.ask(step, same, write)

    def _by_hand(self) -> bool:
        """Whether the script may set a rate at any time; its text is read once."""
        if self._sets is None:
            text = script_text()
            self._sets = not text or sets_rates(text)
        return self._sets

    def _for_another_stage(self) -> set[str]:
        """The optimisers that never stepped and hold parameters of one that did."""
        moved: set[int] = set()
        waiting: list[tuple[str, set[int]]] = []
        for state in self.tools.scene.clock.states:
            owner = state.ref()
            own = {id(p) for group in owner.param_groups for p in group["params"]} if owner is not None else set()
            if state.count:
                moved |= own
            else:
                waiting.append((state.name, own))
        return {name for name, own in waiting if own & moved}


def _power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


def sample(tensor: Tensor) -> Tensor:
    """A few numbers of a parameter: 64 at most, flat, a view of its own memory."""
    flat = local(tensor).reshape(-1)
    stride = flat.numel() // SAMPLE
    return flat[::stride][:SAMPLE] if stride > 1 else flat[:SAMPLE]
