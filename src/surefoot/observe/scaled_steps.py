"""Steps that a gradient scaler takes for an optimiser, or skips because some gradient is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.scene import Scene
from surefoot.observe.step_under_way import StepUnderWay


class ScaledSteps:
    """Sees by an optimiser's count whether its step was skipped.

    Parameters
    ----------
    scene : whose scaler it is
    step : the step under way
    tell : takes events
    """

    def __init__(self, scene: Scene, step: StepUnderWay, tell: Callable[..., None]) -> None:
        self._scene, self._step, self._tell = scene, step, tell
        self._count_before: int | None = None  # steps of the optimiser that it was asked to step

    def met(self, scaler: Any) -> None:
        """The scaler is about to step some optimiser, whoever follows it."""
        if self._scene.scaler is None and scaler.is_enabled():
            self._step.scalars.scaled_by(scaler)
        self._scene.scaler = scaler
        self._step.may_skip = True
        self._count_before = None

    def begin(self, optimizer: Optimizer) -> None:
        """It is one that is followed."""
        self._count_before = self._scene.state_of(optimizer).count

    def ended(self, optimizer: Optimizer) -> OptimizerState | None:
        """The scaler is done; gives who has skipped a step, if it is time to tell."""
        state = self._scene.clock.known(optimizer)
        if state is None or self._count_before is None:
            return None
        return state if self._scene.skips_of(state).scaled(state.count == self._count_before) else None

    def tell(self, scaler: Any, state: OptimizerState) -> None:
        """Record how often it has skipped so far."""
        self._tell("skipped", optimizer=state.name, **self._scene.skips_of(state).facts(scaler))
