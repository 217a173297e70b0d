"""The loss scale of a gradient scaler, and how many steps it has skipped."""

from __future__ import annotations

import numpy as np
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument


class Scaling(Instrument):
    """Reads ``loss_scale``, and hands on how many steps were skipped so far (counted at every step)."""

    name = "scaler"

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Read the scale that this step was taken with."""
        scene = self.tools.scene
        scale = scene.loss_scale()
        if scale is None:
            return
        step, skipped = scene.clock.steps, float(scene.skips_of(state).total)

        def write(found: list[np.ndarray]) -> None:
            self.tools.rows.put(step, "scaler", state.name, loss_scale=float(found[0]), skipped_steps=skipped)

        self.tools.ask(step, [scale.detach().clone()], write)
