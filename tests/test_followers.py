"""Optimisers that step on one loss, one after the other, record the same losses at the same steps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from watching import Kept, watching


def names_in(seen: Kept) -> list[str]:
    return [optimizer["name"] for optimizer in seen.of("optimizers")[-1]["optimizers"]]


def train(steps: int, begins: int) -> None:
    """A head is trained from the first step on, its trunk from a later one on, by an optimizer of its own."""
    torch.manual_seed(0)
    trunk, head = nn.Linear(4, 8), nn.Linear(8, 1)
    first, second = torch.optim.SGD(head.parameters(), 0.01), torch.optim.SGD(trunk.parameters(), 0.01)
    x = torch.randn(64, 4)
    for step in range(1, steps + 1):
        first.zero_grad()
        second.zero_grad()
        F.mse_loss(head(torch.tanh(trunk(x + 0.1 * torch.randn(64, 4)))), x[:, :1]).backward()
        first.step()
        if step >= begins:
            second.step()


@pytest.mark.parametrize("begins", [1, 200])
def test_the_second_of_two_on_one_loss_has_the_first_ones_losses(begins: int) -> None:
    with watching() as seen:
        train(600, begins)
    first, second = (seen.signal("loss", name) for name in names_in(seen))
    later = {step: loss for step, loss in second.items() if step > begins and step in first}
    assert len(later) >= 40 and later == {step: first[step] for step in later}


def test_players_with_losses_of_their_own_do_not_take_each_others() -> None:
    torch.manual_seed(0)
    one, two = nn.Linear(2, 1), nn.Linear(2, 1)
    players = [torch.optim.SGD(p.parameters(), 0.01) for p in (one, two)]
    with watching() as seen:
        for _ in range(600):
            for sign, model, player in zip((1.0, -1.0), (one, two), players, strict=True):
                player.zero_grad()
                (sign * (3.0 + model(torch.randn(8, 2)).square().mean())).backward()
                player.step()
    maximum, minimum = (seen.signal("loss", name) for name in names_in(seen))
    assert min(maximum.values()) > 0 > max(minimum.values())


def test_an_optimizer_that_is_met_late_is_looked_at_in_its_first_steps() -> None:
    with watching() as seen:
        train(700, 500)
    looks = [step for step, kind, _ in seen.events if kind == "look"]
    assert sum(500 < step <= 506 for step in looks) >= 3
