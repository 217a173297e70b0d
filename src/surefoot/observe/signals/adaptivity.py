"""The second moments of adaptive optimisers against their ε, by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.adaptivity import bias_correction, effective_eps, epsilon_domination, second_moment
from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument
from surefoot.observe.signals.gradients import local

SAMPLE = 1 << 12  # elements of each tensor: a share is known to within 1 %


class Adaptivity(Instrument):
    """Reads ``epsilon_share`` and ``epsilon_factor`` after the step, from the optimiser's own state."""

    name = "adaptivity"

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Read the state of the parameters that have one."""
        scene = self.tools.scene
        places: list[int] = []
        sizes: list[float] = []
        asked: list[Tensor] = []
        for group in optimizer.param_groups:
            eps = group.get("eps")
            if not isinstance(eps, float):
                continue
            for parameter in group["params"]:
                place = scene.models.place(parameter)
                own: Any = optimizer.state.get(parameter)
                found = second_moment(own) if place is not None and own else None
                if found is None or place is None:
                    continue
                moment = local(found[0]).reshape(-1)
                taken = moment[:: max(1, moment.numel() // SAMPLE)]
                if not len(taken):
                    continue
                with torch.no_grad():
                    root = taken.float().sqrt() if found[1] else (taken.float() - eps).clamp_min(0)
                    asked += epsilon_domination(root / bias_correction(own, group), effective_eps(eps, found[0].dtype))
                places.append(place)
                sizes.append(moment.numel() / len(taken))
        if not places:
            return
        step, layers = scene.clock.steps, len(scene.models.layers)

        def write(found: list[np.ndarray]) -> None:
            numbers = np.array(found, dtype=np.float64).reshape(-1, 3) * np.array(sizes)[:, None]
            total = np.zeros((layers, 3))
            np.add.at(total, places, numbers)
            with np.errstate(invalid="ignore", divide="ignore"):
                self.tools.rows.put_layers(
                    step,
                    "adaptivity",
                    epsilon_share=total[:, 0] / total[:, 2],
                    epsilon_factor=total[:, 1] / total[:, 2],
                )

        self.tools.ask(step, asked, write)
