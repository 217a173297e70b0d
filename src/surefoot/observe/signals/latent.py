"""A variational encoder's latent dimensions: how far each is from the prior, how many still vary with the input."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.latent import active_share, gaussian_kl
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.nodes import ACCUMULATE, Node
from surefoot.observe.random_parts import find_reparametrised

_TRIES = 4  # looks after which a run without a reparametrised sample isn't searched any more
_ROWS, _LATENTS = 1024, 4096


class Latent(Instrument):
    """Reads μ and σ where z = μ + σ·ε and μ² are both in the graph of the loss."""

    name: ClassVar[str] = "latent"
    _tries = 0
    _seen = False
    _found: tuple[str, Tensor, Tensor] | None = None

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._known: weakref.WeakSet[Optimizer] = weakref.WeakSet()

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """Look for the sample in the graph."""
        tried = self._tries >= _TRIES and not self._seen
        if self._found is not None or tried or self.tools.scene.checkpointing:
            return
        part = find_reparametrised(view.nodes)
        if part is None:
            self._tries += 1
            return
        self._seen = True
        mean, std = (t.flatten(1)[:_ROWS, :_LATENTS].float() for t in (part.mean, part.std))
        if len(mean) > 1:
            self._found = (self._owner(part.made_by), mean.clone(), std.clone())

    def _owner(self, node: Node) -> str:
        """The layer that makes the means."""
        for _ in range(6):
            below = [child for child, _ in node.next_functions if child is not None]
            for child in below:
                if child.name() == ACCUMULATE:
                    owned = self.tools.scene.models.find(child.variable)
                    return "" if owned is None else owned.layer.name
            if not below:
                break
            node = below[0]
        return ""

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write down what was found. A new optimiser may be of a stage with another loss: it is searched anew."""
        if optimizer not in self._known:
            self._known.add(optimizer)
            self._tries = 0
        if self._found is None:
            return
        (where, mean, std), self._found = self._found, None
        step = self.tools.scene.clock.steps
        size = float(mean.shape[1])

        def write(found: list[np.ndarray]) -> None:
            nats, active = map(float, found)
            self.tools.rows.put(step, "latent", where, latent_kl=nats, active_units_share=active, latent_size=size)

        self.tools.ask(step, [gaussian_kl(mean, std).sum(), active_share(mean)], write)
