"""What tells whether processes that train together hold the same weights: one random projection of each layer's.

Each rank takes it by itself, at steps that the others come to as well, and the records are compared when they are read.
For vectors a ≠ b and random signs s, ⟨s, a⟩ − ⟨s, b⟩ has mean square ‖a − b‖² (Johnson & Lindenstrauss 1984); for equal
ones it is 0.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor

from surefoot.observe.instrument import Tools
from surefoot.observe.signals.gradients import local, parameters_of
from surefoot.observe.signals.weights import SAMPLE

SHARE = 0.05  # of the budget
_SEED = 20250101  # all ranks must draw the same signs


class RankWeights:
    """Projects the weights of each layer, at step 0 (before the first), at the last step before each multiple of a
    power of two, which is as low as the budget allows, so that two ranks with different powers share every step of the
    higher one; and when the run is over.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._signs: dict[torch.device, Tensor] = {}
        self._period = 2 if tools.budget.every is None else 1
        self._started = False
        self._newest = 0  # the step of the newest projection

    def at_start(self) -> None:
        """The first step is about to change the weights."""
        if not self._started:
            self._started = True
            self._project(0)

    def at_step_end(self, step: int) -> None:
        """A step of the run's own count is over."""
        count = step + 1
        # The powers of two are few, and every rank reads them: two loaded ranks still have steps in common.
        if count % self._period and count & (count - 1):
            return
        begin = time.perf_counter()
        self._project(step)
        budget = self._tools.budget
        if budget.every is None and budget.step_time > 0:
            affordable = SHARE * budget.fraction * budget.step_time
            self._period = 1 << max(1, math.ceil(math.log2((time.perf_counter() - begin) / affordable)))

    def at_close(self) -> None:
        """The run is over. Its last step is one that all ranks have in common, if they have gone as far."""
        if self._started and self._tools.scene.clock.steps > self._newest:
            self._project(self._tools.scene.clock.steps)

    def _project(self, step: int) -> None:
        self._newest = step
        scene = self._tools.scene
        places: list[int] = []
        sizes: list[int] = []
        projections: list[Tensor] = []
        held = [p for o in scene.clock.optimizers for p in parameters_of(o)]
        for parameter in {id(p): p for p in held}.values():
            owned = scene.models.find(parameter)
            if owned is None or hasattr(parameter, "placements") or not parameter.numel():
                continue  # ranks hold different shards
            if scene.replicated and id(parameter) not in scene.replicated:
                continue
            flat = local(parameter).reshape(-1)
            flat = flat[:: max(1, flat.numel() // SAMPLE)]
            if not flat.is_floating_point():
                continue
            signs = self._signs_on(flat.device)
            places.append(scene.models.index[owned.layer.name])
            sizes.append(flat.numel())
            projections.append(torch.dot(flat.to(signs.dtype), signs[: flat.numel()]))
        if step == 0:
            kind = "ddp" if scene.replicated else "group" if _grouped() else "none"
            self._tools.tell("replicas", kind=kind, shards=max(map(_shards, held), default=1))
        if not projections:
            return
        count = len(scene.models.layers)

        def write(found: list[np.ndarray]) -> None:
            total, elements = np.zeros(count), np.zeros(count)
            np.add.at(total, places, [float(value) for value in found])
            np.add.at(elements, places, sizes)
            with np.errstate(invalid="ignore"):
                self._tools.rows.put_layers(step, "ranks", weight_projection=total / np.sqrt(elements))

        self._tools.ask(step, projections, write)

    def _signs_on(self, device: torch.device) -> Tensor:
        signs = self._signs.get(device)
        if signs is None:
            kind = torch.float32 if device.type == "mps" else torch.float64  # exact enough to give the same everywhere
            drawn = torch.randint(2, (2 * SAMPLE,), generator=torch.Generator().manual_seed(_SEED))
            signs = self._signs[device] = (2 * drawn - 1).to(kind).to(device)
        return signs


def _shards(parameter: Tensor) -> int:
    """Over how many ranks a parameter is spread; 1 for one that each rank has in full."""
    placements = getattr(parameter, "placements", ())
    return math.prod(parameter.device_mesh.size(i) for i, place in enumerate(placements) if place.is_shard())  # type: ignore[attr-defined]


def _grouped() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
