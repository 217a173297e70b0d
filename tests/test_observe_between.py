"""Between the steps that are read: an odd loss there is met, and a look waits for all players of a game."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from surefoot.observe.budget import HEARD_SECONDS, HEARD_STEP, Budget
from surefoot.observe.clock import Clock
from watching import Kept, watching


def train(steps: int, odd: dict[int, float], backwards: int = 1) -> tuple[Kept, list[Tensor]]:
    """A tiny regression; the targets of some steps are multiplied, those of their last backward."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with watching() as seen:
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            for backward in range(backwards):
                x = torch.randn(16, 4)
                target = x.sum(1, keepdim=True) * (odd.get(step, 1.0) if backward == backwards - 1 else 1.0)
                nn.functional.mse_loss(model(x), target).backward()
            optimizer.step()
    return seen, [p.detach().clone() for p in model.parameters()]


def idle_step(steps: int, after: int) -> int:
    """A step that a plain run of this length does not read."""
    read = train(steps, {})[0].signal("loss")
    return next(step for step in range(after, steps) if step not in read)


def test_an_odd_loss_of_an_idle_step_is_read_with_its_batch_and_what_follows():
    odd = idle_step(900, 600)
    seen, _ = train(900, {odd: 100.0})
    losses = seen.signal("loss")
    assert losses[odd] > 100 * losses[odd - odd % 8 - 8] if odd - odd % 8 - 8 in losses else losses[odd] > 100
    assert {odd + k for k in range(5)} <= losses.keys()
    assert [step for step, kind, _ in seen.events if kind == "odd_batch"][-1] == odd
    assert seen.observer.clock.steps == 900


def test_a_loss_that_is_no_number_is_met_at_its_step():
    odd = idle_step(900, 600)
    seen, _ = train(900, {odd: math.nan})
    assert [step for step, kind, _ in seen.events if kind == "nonfinite"] == [odd]


def test_the_loss_of_a_step_of_several_backwards_is_that_of_all():
    odd = idle_step(900, 600)
    seen, _ = train(900, {odd: 100.0}, backwards=3)
    usual = torch.tensor(list(seen.signal("loss").values())[-40:]).median()
    plain, _ = train(900, {odd: 100.0})
    assert seen.signal("loss")[odd] > plain.signal("loss")[odd] * 0.5
    assert seen.signal("loss")[odd + 1] < 10 * usual + 30


def game(odd: int = 0) -> tuple[Kept, list[str]]:
    """Two players with an optimiser each; in one step the loss of the second is far above its past."""
    torch.manual_seed(0)
    players = [nn.Linear(4, 1), nn.Linear(4, 1)]
    optimizers = [torch.optim.SGD(player.parameters(), 1e-3) for player in players]
    with watching() as seen:
        for step in range(1, 901):
            for second, player in enumerate(players):
                x = torch.randn(16, 4)
                target = x.sum(1, keepdim=True) * (100.0 if second and step == odd else 1.0)
                player.zero_grad()
                nn.functional.mse_loss(player(x), target).backward(inputs=list(player.parameters()))
            for optimizer in optimizers:
                optimizer.step()
    return seen, [state.name for state in seen.observer.clock.states]


def test_a_loss_that_went_by_unread_is_not_told_as_no_number():
    read = game()[0].signal("loss", "SGD")
    odd = next(step for step in range(600, 900) if step not in read)
    seen, names = game(odd)
    assert odd in seen.signal("loss", names[1])
    for name in names:
        assert seen.signal("learning_rate", name).keys() == seen.signal("loss", name).keys()
    assert "non-finite" not in seen.findings()


def test_hearing_is_paid_for():
    long, short = Budget(), Budget()
    long.step_time, short.step_time = 1.0, 1e-4
    for _ in range(round(HEARD_SECONDS / HEARD_STEP / 100)):
        assert long.hears() and short.hears()
        for budget in (long, short):
            budget.settled(0.0, 100)
    assert long.hears()
    assert not short.hears()
    for _ in range(100):
        long.woken()
    assert not long.hears()  # what is odd as often as that is not odd


@pytest.mark.parametrize("pause", [1, 3, 6])
def test_a_look_waits_for_the_step_in_which_all_players_take_part(pause):
    clock = Clock()
    players = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1) for _ in range(2)]
    fast, slow = (clock.add(player, name) for player, name in zip(players, ("fast", "slow"), strict=True))
    together = []
    for step in range(40):
        if step % pause == 0:
            clock.tick(slow)
            together.append(step + 1)
        clock.tick(fast)
    ahead = clock.next_of_all(41)
    assert ahead == 41 + (-40) % pause
    assert (ahead - together[-1]) % pause == 0


def test_no_look_waits_for_one_that_has_stopped():
    clock = Clock()
    players = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1) for _ in range(2)]
    fast, slow = (clock.add(player, name) for player, name in zip(players, ("fast", "slow"), strict=True))
    for step in range(60):
        if step in (0, 3, 6):
            clock.tick(slow)
        clock.tick(fast)
    assert clock.next_of_all(61) == 61
