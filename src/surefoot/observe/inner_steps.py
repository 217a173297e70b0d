"""Optimisers that step inside a backward, as soon as a gradient is there: together they are one step of the run."""

from __future__ import annotations

from torch.optim import Optimizer

from surefoot.observe.gather import Gatherer
from surefoot.observe.home import Home
from surefoot.observe.pace import Pace
from surefoot.observe.scene import Scene
from surefoot.observe.step_under_way import StepUnderWay


class InnerSteps:
    """Follows them from the begin of a backward to its end.

    Parameters
    ----------
    scene, gatherer : who steps, and what a look reads of it
    step, pace : the step under way, and which begins and ends must be seen
    home : in which thread it counts

    Attributes
    ----------
    optimizers : those that stepped inside the backward under way, by id
    """

    def __init__(self, scene: Scene, gatherer: Gatherer, step: StepUnderWay, pace: Pace, home: Home) -> None:
        self.optimizers: dict[int, Optimizer] = {}
        self._scene, self._gatherer, self._step, self._pace, self._home = scene, gatherer, step, pace, home

    def look(self, optimizer: Optimizer) -> None:
        """One begins to step, in a step that is looked at."""
        self._scene.state_of(optimizer, in_backward=True)
        self._gatherer.at_inner_step(optimizer)

    def stepped(self, optimizer: Optimizer) -> None:
        """One has stepped."""
        # after a second step within one backward, each has to be seen to tell how many count
        self._pace.nested = self._pace.nested or id(optimizer) in self.optimizers
        self.optimizers[id(optimizer)] = optimizer

    def end(self) -> None:
        """The backward is over: that is one step."""
        self._home.here()
        for optimizer in self.optimizers.values():
            self._scene.state_of(optimizer, in_backward=True)
        _, optimizer = self.optimizers.popitem()
        self.optimizers.clear()
        self._step.end(optimizer)
