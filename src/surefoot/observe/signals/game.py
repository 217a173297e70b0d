"""Two networks that play against each other: what the generator makes against real samples, and who is winning.

Players are models, or parts of one model of which an optimiser each holds the parameters. Which one is the generator is
seen, not told: its output becomes another's input without its graph, while that other also gets inputs of the same
shape that no player made, and at some look some with a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.generated import (
    NEIGHBOURS,
    ROWS,
    comparable,
    coverage_and_precision,
    energy_distance,
    separation,
    spread,
)
from surefoot.observe.clock import OptimizerState
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument
from surefoot.observe.signals.activations import first_tensor

_CALLS = 16  # of models in one look


@dataclass(slots=True)
class _Call:
    """One call of a model: what went in, what came out."""

    model: int
    given: Tensor | None
    made: Tensor
    with_graph: bool  # the input came of a computation that takes a gradient
    penalised: bool  # the input is a leaf that takes one: real samples, or a mixture, at which a slope is asked for


class Game(Instrument):
    """Compares generated samples with real ones, and the scores that the discriminator gives to both."""

    name: ClassVar[str] = "game"

    def __init__(self, tools: Any) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._calls: list[_Call] = []
        self._taught: dict[int, int] = {}  # models that were fed with a graph → numbers in a sample
        self._names: dict[int, str] = {}  # of parts of one model
        self._centre: dict[int, Tensor] = {}  # of the generated samples at the look before

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """See the calls of the models, where several are trained by several optimisers."""
        self.withdraw()
        if len(self.tools.scene.clock.states) < 2:
            return
        players = roots if len(roots) > 1 else self._parts(roots)
        if len(players) < 2:
            return

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if len(self._calls) < _CALLS:
                self.tools.guard(self.name, self._take, module, args, output)

        for player in players:
            if not isinstance(player, torch.jit.ScriptModule):
                self._handles.append(player.register_forward_hook(Hook(hook)))

    def _parts(self, roots: Sequence[nn.Module]) -> list[nn.Module]:
        """Of one model that several optimisers share out, the outermost part that each holds whole and alone."""
        optimizers = [o for state in self.tools.scene.clock.states if (o := state.ref()) is not None]
        held = [{id(p) for group in o.param_groups for p in group["params"]} for o in optimizers]
        parts: dict[int, nn.Module] = {}
        self._names.clear()
        for root in roots:
            for name, module in root.named_modules():
                own = {id(p) for p in module.parameters()}
                at = next((i for i, theirs in enumerate(held) if own == theirs), None)
                if at is not None and parts.setdefault(at, module) is module:
                    self._names[id(module)] = name
        return list(parts.values())

    def withdraw(self) -> None:
        """Take the hooks off, forget the calls."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._calls.clear()

    def _take(self, module: nn.Module, args: Any, output: Any) -> None:
        made = first_tensor(output)
        given = next((a for a in args if isinstance(a, Tensor)), None)
        if made is not None and made.is_floating_point() and made.dim() and len(made) > NEIGHBOURS:
            graph = given is not None and given.grad_fn is not None
            leaf = given is not None and given.requires_grad and not graph
            if given is not None and graph and given.dim() > 1:
                # the generator may have run before this look, so that where its samples came from is not known here
                self._taught[id(module)] = given[0].numel()
            self._calls.append(_Call(id(module), None if given is None else given.detach(), made.detach(), graph, leaf))

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Compare generated samples with real ones, once a look has shown both."""
        if not self._calls:
            return
        players = self._players()
        if players is None:
            return
        generator, real, generated, real_scores, generated_scores = players
        self._calls.clear()
        step = self.tools.scene.clock.steps
        names = {id(r.module()): r.name for r in self.tools.scene.models.roots}
        name = names.get(generator, self._names.get(generator, ""))
        with torch.no_grad():
            numbers = self._numbers(generator, comparable(real), comparable(generated))
            numbers["discriminator_auc"] = separation(_scores(real_scores), _scores(generated_scores))

        def write(found: list[np.ndarray]) -> None:
            self.tools.rows.put(step, "game", name, **dict(zip(numbers, map(float, found), strict=True)))

        self.tools.ask(step, list(numbers.values()), write)

    def _numbers(self, generator: int, real: Tensor, generated: Tensor) -> dict[str, Tensor]:
        size = spread(real)
        centre = generated.mean(0)
        before = self._centre.get(generator)
        self._centre[generator] = centre
        coverage, precision = coverage_and_precision(real, generated)
        numbers = {
            "generated_spread": spread(generated) / size,
            "generated_offset": (centre - real.mean(0)).norm() / size,
            "coverage": coverage,
            "precision": precision,
        }
        if before is not None and before.shape == centre.shape:
            numbers["generated_move"] = (centre - before).norm() / size
        return numbers

    def _players(self) -> tuple[int, Tensor, Tensor, Tensor, Tensor] | None:
        """The generator, a real and a generated batch, and the scores of both; None if this look shows no game."""
        outputs = {call.made.data_ptr(): call for call in self._calls}
        best = None
        # where a slope is asked for, real samples may be seen in that call only; a mixture's stands beside another
        others = sorted(self._calls, key=lambda call: not call.penalised)
        for judged in self._calls:
            source = None if judged.given is None else outputs.get(judged.given.data_ptr())
            if source is None or judged.given is None or source.model == judged.model:
                continue
            if judged.with_graph or self._taught.get(judged.model) != judged.given[0].numel():
                continue
            for other in others:
                if other.given is None or other.model != judged.model or other.with_graph:
                    continue
                if other.given.data_ptr() in outputs:
                    continue
                if _same_kind(other.given, judged.given):
                    best = (source.model, other.given, judged.given, other.made, judged.made)
        return best or self._joined() or self._nearest()

    def _joined(self) -> tuple[int, Tensor, Tensor, Tensor, Tensor] | None:
        """The same where one call gets real and generated samples behind one another."""
        for source in self._calls:
            n = len(source.made)
            for judged in self._calls:
                given = judged.given
                if judged.model == source.model or given is None or not given.is_cpu or judged.with_graph:
                    continue
                if self._taught.get(judged.model) != source.made[0].numel():
                    continue
                if len(given) != 2 * n or given.shape[1:] != source.made.shape[1:] or len(judged.made) != 2 * n:
                    continue
                for real, fake in ((slice(0, n), slice(n, None)), (slice(n, None), slice(0, n))):
                    if torch.equal(given[fake], source.made):
                        return (source.model, given[real], given[fake], judged.made[real], judged.made[fake])
        return None

    def _nearest(self) -> tuple[int, Tensor, Tensor, Tensor, Tensor] | None:
        """The same where samples are worked on after the generator, so that none of its outputs is judged.

        What is judged with a graph is generated. Of two batches without one, the real batch is the one that is further
        from it; where they are as far, either is as good.
        """
        for taught in self._calls:
            makers = {call.model for call in self._calls} - {taught.model}
            generated = taught.given
            if generated is None or not generated.is_cpu or not taught.with_graph or len(makers) != 1:
                continue
            bare = [
                (call.given, call.made)
                for call in self._calls
                if call.model == taught.model and not call.with_graph and call.given is not None
                if _same_kind(call.given, generated) and len(call.given) == len(generated)
            ]
            if len(bare) != 2:
                continue
            rows = comparable(generated)
            (real, scores), _ = sorted(bare, key=lambda pair: -float(energy_distance(rows, comparable(pair[0]))))
            return makers.pop(), real, generated, scores, taught.made
        return None


def _same_kind(a: Tensor, b: Tensor) -> bool:
    """Batches of samples of one kind; several numbers each."""
    return a.dtype == b.dtype and a.dim() > 0 and min(len(a), len(b)) > NEIGHBOURS and a[0].numel() == b[0].numel() > 1


def _scores(scores: Tensor) -> Tensor:
    return scores[:ROWS].flatten(1).float().mean(1) if scores.dim() > 1 else scores[:ROWS].float()
