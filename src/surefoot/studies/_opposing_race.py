"""What the study of opposing signals measures on optimisers: where their steps go, and what they reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.analysis.outliers import group_gradient
from surefoot.optim.stability import update_share
from surefoot.studies._opposing_runs import Data, losses_of, network


@dataclass(frozen=True)
class Raced:
    """One optimiser with one rate: its name, the share of its steps along the opposing direction, and end losses."""

    name: str
    family: str
    share: float
    loss: float
    group_loss: float


def race(
    data: Data,
    first: Tensor,
    second: Tensor,
    makers: Sequence[tuple[str, str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]]],
    seed: int,
    steps: int,
    width: int,
    batch_size: int = 128,
    every: int = 5,
) -> list[Raced]:
    """Train with each optimiser on the same batches, and measure its steps along g_A/|g_A| − g_B/|g_B|."""
    inputs, targets = data
    results = []
    for name, family, make in makers:
        model = network([inputs.shape[1], width, width, 10], seed)
        parameters = list(model.parameters())
        optimizer = make(parameters)
        generator = torch.Generator().manual_seed(seed)
        shares = []
        for step in range(steps):
            rows = torch.randint(len(inputs), (batch_size,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[rows]), targets[rows]).backward()
            look = step % every == every - 1
            if look:
                pair = [group_gradient(model, F.cross_entropy, data, group) for group in (first, second)]
                before = nn.utils.parameters_to_vector(parameters).detach().clone()
            optimizer.step()
            if look:
                direction = pair[0] / pair[0].norm() - pair[1] / pair[1].norm()
                moved = nn.utils.parameters_to_vector(parameters).detach() - before
                if bool(torch.isfinite(moved).all()) and float(moved.norm()) > 0 and float(direction.norm()) > 0:
                    shares.append(update_share(moved, direction))
        with torch.no_grad():
            losses = losses_of(model(inputs), targets)
        group = losses[torch.cat([first, second])]
        results.append(Raced(name, family, float(np.mean(shares)), float(losses.mean()), float(group.mean())))
    return results
