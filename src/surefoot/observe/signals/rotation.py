"""Whether the gradients of two players go round: a sample of each player's gradient at every look."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.analysis.games import rotation
from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument
from surefoot.observe.signals.gradients import local, parameters_of

SAMPLE = 256  # elements of a player's gradient that are kept of each look
LOOKS = 16  # over which rotation is measured
_FEWEST = 8


class GradientRotation(Instrument):
    """Measures, where exactly two optimisers step, how their gradients turned over the last looks at both."""

    name: ClassVar[str] = "rotation"

    def __init__(self, tools: Any) -> None:
        super().__init__(tools)
        self._seen: dict[int, Tensor] = {}
        self._past: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=LOOKS)

    def withdraw(self) -> None:
        """Let go of what only one player has given."""
        self._seen.clear()

    def at_step_begin(self, optimizer: Optimizer) -> None:
        """Keep a few numbers of this player's gradient."""
        if len(self.tools.scene.clock.states) == 2:
            self._seen[id(optimizer)] = _sample(optimizer)

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Once both have stepped in this look, compare with the looks before."""
        self._write_pauses()
        players = [self._seen.get(id(s.ref())) for s in self.tools.scene.clock.states]
        if len(players) != 2 or any(player is None for player in players):
            return
        self._seen.clear()
        step = self.tools.scene.clock.steps

        def take(found: list[np.ndarray]) -> None:
            pair = (found[0], found[1])
            if self._past and any(a.shape != b.shape for a, b in zip(pair, self._past[-1], strict=True)):
                self._past.clear()
            if all(np.isfinite(part).all() for part in pair):
                self._past.append(pair)
            if len(self._past) < _FEWEST:
                return
            went = rotation(*(np.stack([pair[i] for pair in self._past]) for i in range(2)))
            self.tools.rows.put(
                step,
                "rotation",
                "",
                rotation_turns=went.turns,
                rotation_coherence=went.coherence,
                rotation_share=went.plane_share,
                rotation_growth=went.growth,
                rotation_balance=went.balance,
            )

        self.tools.ask(step, [player for player in players if player is not None], take)

    def _write_pauses(self) -> None:
        """How long each of the two has not stepped: no loss tells, for not every step's is recorded."""
        states, step = self.tools.scene.clock.states, self.tools.scene.clock.steps
        if len(states) == 2:
            for player in states:
                self.tools.rows.put(step, "players", player.name, idle_steps=float(step - player.stepped_in))


def _sample(optimizer: Optimizer) -> Tensor:
    parameters = [p for p in parameters_of(optimizer) if not (p.grad is not None and p.grad.is_sparse)]
    stride = max(1, -(-sum(p.numel() for p in parameters) // SAMPLE))
    parts = [
        local(p.new_zeros(p.shape) if p.grad is None else p.grad.detach()).reshape(-1)[::stride].float()
        for p in parameters
    ]
    return torch.cat(parts) if parts else torch.zeros(0)
