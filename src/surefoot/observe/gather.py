"""What one look gathers, from the forward to the end of the optimiser's step, and the rows it makes of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.activation_look import ActivationLook
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.loss_site import LossSite, shape_source
from surefoot.observe.nodes import Node
from surefoot.observe.own_distance import own_distance
from surefoot.observe.signals.adaptivity import Adaptivity
from surefoot.observe.signals.asides import Asides
from surefoot.observe.signals.attention import AttentionLogits
from surefoot.observe.signals.choices import Choices
from surefoot.observe.signals.clipping import ClipRatio
from surefoot.observe.signals.curvature import CurvatureReading
from surefoot.observe.signals.distances import Distances
from surefoot.observe.signals.edges import Edges
from surefoot.observe.signals.game import Game
from surefoot.observe.signals.gating import Gating
from surefoot.observe.signals.gradients import GradientReading, parameters_of, read_gradients
from surefoot.observe.signals.grid_gates import GridGates
from surefoot.observe.signals.hyperbolic import Hyperbolic
from surefoot.observe.signals.initialisation import Initialisation
from surefoot.observe.signals.inputs import Inputs
from surefoot.observe.signals.latent import Latent
from surefoot.observe.signals.logits import read_logits
from surefoot.observe.signals.loss import constant_loss
from surefoot.observe.signals.loss_terms import LossTerms
from surefoot.observe.signals.overflow import Overflow
from surefoot.observe.signals.phases import Frozen, TrainingMode
from surefoot.observe.signals.policy import Policy
from surefoot.observe.signals.precision import Precision
from surefoot.observe.signals.rank import RankStatistics
from surefoot.observe.signals.recurrence import Recurrence
from surefoot.observe.signals.restored import Restored
from surefoot.observe.signals.rotation import GradientRotation
from surefoot.observe.signals.samples import Samples
from surefoot.observe.signals.scaling import Scaling
from surefoot.observe.signals.schedules import Schedules
from surefoot.observe.signals.slopes import Slopes
from surefoot.observe.signals.steps import SafeStepReading
from surefoot.observe.signals.surrogates import Surrogates
from surefoot.observe.signals.weights import Snapshot
from surefoot.observe.signals.wiring import MissedParameters, StaleProbe, copied

# In the order in which they are called at each moment of a step.
INSTRUMENTS: tuple[type[Instrument], ...] = (
    AttentionLogits,
    RankStatistics,
    Recurrence,
    Initialisation,
    Adaptivity,
    ClipRatio,
    Precision,
    Overflow,
    Scaling,
    Schedules,
    Surrogates,
    Slopes,
    Gating,
    GridGates,
    Hyperbolic,
    Distances,
    Choices,
    Inputs,
    Samples,
    LossTerms,
    CurvatureReading,
    SafeStepReading,
    TrainingMode,
    Frozen,
    Asides,
    Restored,
    Edges,
    Game,
    GradientRotation,
    Latent,
    Policy,
)


@dataclass(slots=True)
class _Look:
    """What one look has gathered so far."""

    gradients: GradientReading | None = None
    clipped: set[int] = field(default_factory=set)
    snapshot: Snapshot | None = None
    logits: tuple[str, dict[str, Tensor | float]] | None = None
    missing: list[str] | None = None
    constant_loss: Tensor | None = None
    of_one_backward: bool = False  # of several of a step, it is the constant's for one


class Gatherer:
    """Looks at one step. Call in the order of a training step: ``prepare``, ``at_backward``, ``at_clip``,
    ``at_step_begin``, ``at_step_end``; what does not happen in a step is left out.

    Parameters
    ----------
    tools : models and optimisers, rows, the budget, and how to tell
    means : force one means of looking at activations; None takes the first that serves
    """

    def __init__(self, tools: Tools, means: str | None) -> None:
        self.probes: dict[int, StaleProbe] = {}
        self.activations = ActivationLook(tools, means)
        self._tools = tools
        self._scene, self._rows, self._later = tools.scene, tools.rows, tools.later
        self._tell, self._guard = tools.tell, tools.guard
        self._instruments = [make(tools) for make in INSTRUMENTS]
        self._missed = MissedParameters()
        self._missing: list[str] = []  # the newest that were found
        self._copies = False  # whether they are those of a target network
        self._missed_at, self._missed_of = 0, list[str]()  # of the step that was written last
        self._look = _Look()

    def constant_loss(self, backwards: int) -> Tensor | None:
        """The best constant prediction's loss on the batch that is looked at, of a step of so many backwards."""
        constant = self._look.constant_loss
        return constant if constant is None or not self._look.of_one_backward else constant * max(1, backwards)

    def prepare(self) -> None:
        """A step that will be looked at is about to begin: put on what its forward needs."""
        self.activations.prepare()
        if self.activations.may_hook:
            roots = self._scene.roots()
            for instrument in self._instruments:
                self._guard(instrument.name, instrument.prepare, roots)

    def withdraw(self) -> None:
        """Take off everything that was put on."""
        for instrument in self._instruments:
            self._guard(instrument.name, instrument.withdraw)
        self.activations.withdraw()

    def at_backward(self, tensors: Any) -> None:
        """The first backward of the step begins: the graph is complete, the weights are what the forward used."""
        roots = roots_of(tensors)
        view = self._guard("graph", read_graph, roots)
        if view is None:
            return
        if not view.complete:
            view.sites.clear()  # what comes before and after an activation is not known
        self._guard("discovery", self._scene.update, view.leaves)
        view.by_hand = self._scene.trained_by_hand()
        self.activations.at_backward(view)
        if view.loss is None and len(roots) == 1:
            scale = self._scene.loss_scale()
            view.loss = self._guard("own loss", own_distance, roots[0], self.activations.outputs(), scale)
        if view.loss is not None:
            self._guard("logits", self._read_loss_site, view.loss, view.nodes)
        self._look.missing = self._guard("wiring", self._find_missed, view.leaves)
        for instrument in self._instruments:
            self._guard(instrument.name, instrument.at_backward, view, roots)

    def at_change(self, tensors: Any) -> None:
        """A step that is not looked at comes soon after a change of parameters or optimisers: read their wiring."""
        view = self._guard("graph", read_graph, roots_of(tensors))
        if view is not None:
            self._guard("discovery", self._scene.update, view.leaves)
            self._write_missed(self._guard("wiring", self._find_missed, view.leaves), self._tools.step)

    def at_odd_loss(self, tensors: Any) -> None:
        """A step that is not looked at has an odd loss: its batch may be why."""
        roots = roots_of(tensors)
        view = self._guard("graph", read_graph, roots)
        if view is not None and view.complete and self._scene.discovered:
            for instrument in self._instruments:
                self._guard(instrument.name, instrument.at_odd_loss, view, roots)

    def at_backward_end(self) -> None:
        """A backward of the step is over."""
        for instrument in self._instruments:
            self._guard(instrument.name, instrument.at_backward_end)

    def at_clip(self, parameters: Sequence[Tensor]) -> None:
        """Gradients are about to be clipped."""
        if self._scene.discovered and self._look.gradients is None:
            self._read_gradients(parameters, None)
            self._look.clipped = {id(p) for p in parameters}

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """An optimiser's step begins."""
        parameters = parameters_of(optimizer)
        if self._look.gradients is None or not {id(p) for p in parameters} <= self._look.clipped:
            self._guard("gradients", self._read_gradients, parameters, optimizer)
        for instrument in self._instruments:
            self._guard(instrument.name, instrument.at_step_begin, optimizer)

    def at_inner_step(self, optimizer: Optimizer) -> None:
        """An optimiser steps inside a backward, on a few parameters whose gradient is complete, and soon gone."""
        self._guard("gradients", self._join_gradients, parameters_of(optimizer), optimizer)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """An optimiser's step is over: what was gathered becomes its step's rows once the numbers are there."""
        look, self._look = self._look, _Look()
        step = self._scene.clock.steps
        if look.gradients is not None:
            self._guard("gradients", self._write_gradients, look.gradients, state, step)
        if look.snapshot is not None:
            self._guard("weights", self._write_weights, look.snapshot, state, step)
        if look.logits is not None:
            self._guard("logits", self._write_logits, *look.logits, step)
        self._guard("activations", self.activations.at_step_end, step)
        self._write_missed(look.missing, step)
        for instrument in self._instruments:
            self._guard(instrument.name, instrument.at_step_end, optimizer, state)
        if not state.in_backward:
            self._guard("wiring", self._plant_probe, optimizer)

    def close(self) -> None:
        """The run is over."""
        for instrument in self._instruments:
            self._guard(instrument.name, instrument.at_close)

    def harvest(self, probe: StaleProbe, state: OptimizerState) -> None:
        """The step after a look is over: had its backward added to gradients of the step before?"""
        if probe.share is not None:
            self._rows.put(self._scene.clock.steps, "wiring", state.name, stale_gradient_share=probe.share)

    # ----------------------------------------------------------------------------------------------------------------

    def _read_loss_site(self, loss: LossSite, nodes: Sequence[Node]) -> None:
        made_by = loss.input_node
        outputs = self.activations.outputs()
        # a linear layer on (batch, tokens, width) ends in a reshape, and so may what the script hands to the loss
        output = next((o for o in outputs if made_by is not None and shape_source(o.grad_fn) is made_by), None)
        self._look.logits = (loss.name, read_logits(loss, None if output is None else output.detach(), nodes))
        self._look.constant_loss = constant_loss(loss)
        self._look.of_one_backward = loss.scale is not None

    def _find_missed(self, leaves: Sequence[Tensor]) -> list[str] | None:
        scene = self._scene
        missed = self._missed.missed(leaves, scene.held(), scene.models)
        if missed and missed != self._missing:
            self._missing = missed
            with self._tools.spending("census"):
                scene.meet_again(leaves)  # one that was made since, and has not stepped so far, may hold them
            held = scene.held()
            found = {owned.path for key, owned in scene.models.owned.items() if key in held}
            missed = [name for name in missed if name not in found]
            owned = scene.models.owned
            holders = [o for key, o in owned.items() if key in held]
            self._copies = copied([o for o in owned.values() if o.path in missed], holders)
        return missed

    def _write_missed(self, missed: list[str] | None, step: int) -> None:
        if missed is None:
            return
        if step == self._missed_at:  # of players that take turns each looks at its own loss
            missed = list(dict.fromkeys([*self._missed_of, *missed]))
        self._missed_at, self._missed_of = step, missed
        self._rows.put(step, "wiring", "", missed_parameters=float(len(missed)))
        if missed:
            clock = self._scene.clock
            rests = max((since for s in clock.states if (since := clock.rests_since(s)) is not None), default=0)
            left = self._missed.left.issuperset(missed)
            self._tell("missed", parameters=missed[:50], left=left, copies=self._copies, rests_since=rests)

    def _read_gradients(self, parameters: Sequence[Tensor], optimizer: Optimizer | None) -> None:
        scene = self._scene
        scale = scene.gradient_scale(optimizer)
        self._look.gradients = read_gradients(parameters, scene.models, self._later, scale)
        self._look.snapshot = Snapshot(parameters, scene.models, scale)

    def _join_gradients(self, parameters: Sequence[Tensor], optimizer: Optimizer) -> None:
        """Read the gradients of some parameters, in addition to those of this step that were read already."""
        gradients, snapshot = self._look.gradients, self._look.snapshot
        self._read_gradients(parameters, optimizer)
        more = self._look.gradients
        if gradients is not None and more is not None:
            self._later.ask((), lambda _: gradients.join(more))
            self._look.gradients = gradients
        if snapshot is not None and self._look.snapshot is not None:
            snapshot.join(self._look.snapshot)
            self._look.snapshot = snapshot

    def _write_gradients(self, reading: GradientReading, state: OptimizerState, step: int) -> None:
        layers = self._scene.layer_names()

        def write(_: Any) -> None:
            self._rows.put_layers(
                step,
                "gradients",
                gradient_rms=reading.gradient_rms,
                gradient_share=reading.gradient_share,
                gradient_nonfinite=reading.gradient_nonfinite,
            )
            self._rows.put(step, "gradients", state.name, gradient_norm=reading.gradient_norm)
            broken = np.flatnonzero(np.nan_to_num(reading.gradient_nonfinite) > 0)
            if len(broken) and not self._scene.nonfinite_told:
                # a backward runs from the last layer to the first: the last one that is broken broke first
                self._scene.nonfinite_told = True
                value = "nan" if np.isnan(reading.gradient_rms[broken[-1]]) else "inf"
                self._tell("nonfinite", kind="gradient", where=layers[broken[-1]], operation="", value=value)

        self._tools.ask(step, (), write)

    def _write_weights(self, snapshot: Snapshot, state: OptimizerState, step: int) -> None:
        reading = snapshot.compare(self._later)

        def write(_: Any) -> None:
            layers = {"weight_rms": reading.weight_rms}
            if step:  # step 0 is looked at and not taken: there is no update
                layers["update_rms"] = reading.update_rms
                layers["update_ratio"] = reading.update_ratio
                layers["swallowed_share"] = reading.swallowed_share
                layers["beyond_reach_share"] = reading.beyond_reach_share
            self._rows.put_layers(step, "weights", **layers)
            self._rows.put(
                step,
                "weights",
                state.name,
                weight_norm=reading.weight_norm,
                update_norm=reading.update_norm,
                predicted_decrease=reading.predicted_decrease,
                nlm_alignment=reading.nlm_alignment,
            )

        self._tools.ask(step, (), write)

    def _write_logits(self, name: str, values: dict[str, Tensor | float], step: int) -> None:
        asked = {signal: value for signal, value in values.items() if isinstance(value, Tensor)}
        known = {signal: value for signal, value in values.items() if not isinstance(value, Tensor)}

        def write(found: list[np.ndarray]) -> None:
            numbers = dict(zip(asked, map(float, found), strict=True))
            self._rows.put(step, "logits", name, **known, **numbers)

        self._tools.ask(step, list(asked.values()), write)

    def _plant_probe(self, optimizer: Optimizer) -> None:
        self.probes[id(optimizer)] = StaleProbe(optimizer)
