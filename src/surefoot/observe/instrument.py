"""What a family of signals is made of: an instrument, called at the moments of a step that is looked at.

An instrument reads and writes rows; it holds no formula (those are in ``analysis``, ``optim``, …) and no rule. Each of
its methods is guarded: an exception turns this instrument off, told once, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.budget import Budget
from surefoot.observe.clock import OptimizerState
from surefoot.observe.graph import GraphView
from surefoot.observe.later import Later
from surefoot.observe.rows import Rows
from surefoot.observe.scene import Scene


@dataclass(slots=True)
class Tools:
    """What an instrument works with.

    Attributes
    ----------
    scene : models, optimisers, the gradient scaler
    rows : takes values: ``rows.put(step, family, where, signal=number)``
    budget : what looks cost; see :meth:`affords` for what costs more than a look should
    tell : ``tell(kind, **data)`` records an event of the step that is under way
    guard : ``guard(name, function, *args)`` runs a function of ours inside one of the script's (a hook)
    keep : ``keep(step, signal, key, array)`` stores samples of the script's data; None unless it was asked for
    """

    scene: Scene
    rows: Rows
    later: Later
    budget: Budget
    tell: Callable[..., None]
    guard: Callable[..., Any]
    keep: Callable[[int, str, str, np.ndarray], None] | None = None

    @property
    def step(self) -> int:
        """The step under way; inside ``at_step_end`` the step that has just ended is ``scene.clock.steps``."""
        return self.scene.clock.steps + 1

    def ask(self, step: int, tensors: Sequence[Tensor], then: Callable[[list[np.ndarray]], None]) -> None:
        """Call ``then`` with the tensors' values as float64 arrays, at once on the CPU, later on an accelerator.

        The row of ``step`` is not complete before.
        """
        self.rows.hold(step)

        def answer(found: list[np.ndarray]) -> None:
            self.rows.release(step)
            then(found)

        self.later.ask(tensors, answer)

    def affords(self, name: str, steps: float) -> bool:
        """Whether something that takes about as long as ``steps`` of the run's own steps may be done at this look.

        What it takes is measured once it was done (inside :meth:`spending`) and kept apart from what looks cost, so
        that a dear reading does not make the cheap ones rare.
        """
        return self.budget.affords(name, steps)

    @contextmanager
    def spending(self, name: str) -> Iterator[None]:
        """Account for the time of what :meth:`affords` allowed."""
        begin = self.budget.now()
        try:
            yield
        finally:
            self.budget.dear_taken(name, self.budget.now() - begin)


class Instrument:
    """Reads one family of signals. Methods are called in the order of a training step, at looks only; what does not
    happen in a step is left out. All but ``name`` may be left as they are.
    """

    name: ClassVar[str]  # under which it is turned off when it fails

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """A step that will be looked at is about to begin; ``roots``: the models on which forward hooks may be put."""

    def withdraw(self) -> None:
        """The look is over, or off: leave no trace on what ``prepare`` touched. Called again without harm."""

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """The first backward of the step begins, from ``roots``: the graph is whole, weights are as in the forward.

        Keep neither ``view`` nor its nodes beyond this call, for they hold the graph.
        """

    def at_odd_loss(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """The backward of a step that is not looked at begins, and its loss is far above the run's past.

        Called at most once a step, and not at steps that are looked at. Rows are of ``tools.step``.
        """

    def at_backward_end(self) -> None:
        """One backward of the step is over (the last of a step is the one that counts): gradients are as autograd left
        them, neither unscaled nor clipped. Not called for a backward inside an optimiser's step (a closure)."""

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """An optimiser's step begins: gradients are complete (clipped already, if the script clips)."""

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """An optimiser's step is over: weights are new. The step's number is ``tools.scene.clock.steps``."""

    def at_close(self) -> None:
        """The run is over, after its last step; what is told here is of the step that would have been next."""
