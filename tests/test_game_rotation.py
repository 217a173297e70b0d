"""Two players that go round: the measure in closed form, and games that turn, spiral in, or go downhill."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from surefoot.analysis.games import rotation
from surefoot.findings import Engine
from surefoot.findings.cycles import strongest_cycle
from surefoot.runs import Event
from watching import watching


def circle(looks: int, angle: float, growth: float = 1.0, size: int = 5, noise: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    at, length = angle * np.arange(looks), growth ** np.arange(looks)
    players = [np.outer(length * part, rng.normal(size=size)) for part in (np.cos(at), 1e3 * np.sin(at))]
    return [player + noise * np.abs(player).mean() * rng.normal(size=player.shape) for player in players]


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_circle_is_measured(noise: float) -> None:
    went = rotation(*circle(16, 0.7, noise=noise))
    assert went.turns == pytest.approx(15 * 0.7 / (2 * np.pi), abs=0.05 + 0.2 * noise)
    assert went.coherence > 0.95 and went.plane_share > 0.8 and went.balance > 0.4
    assert went.growth == pytest.approx(1.0, abs=0.1 + noise)


def test_a_spiral_inward_gets_shorter() -> None:
    went = rotation(*circle(16, 0.7, growth=0.85))
    assert went.coherence == pytest.approx(1.0) and went.growth < 0.3


def test_a_way_downhill_and_noise_do_not_turn() -> None:
    rng = np.random.default_rng(1)
    fall = np.outer(0.9 ** np.arange(16), np.ones(4))
    assert rotation(fall, 2 * fall).turns < 0.1
    turned = [rotation(rng.normal(size=(16, 1)), rng.normal(size=(16, 1))) for _ in range(2000)]
    assert np.mean([w.turns >= 1 and w.coherence >= 0.9 for w in turned]) < 5e-3
    spread = [rotation(rng.normal(size=(16, 20)), rng.normal(size=(16, 20))).plane_share for _ in range(50)]
    assert max(spread) < 0.5


def test_steps_that_flip_one_player_are_no_rotation() -> None:
    flips = np.outer((-1.0) ** np.arange(16), np.ones(3))
    assert rotation(flips, np.ones((16, 3))).coherence < 0.9


def test_a_cycle_is_told_from_noise_and_from_a_spiral_inward() -> None:
    rng, at = np.random.default_rng(2), np.arange(0, 1000, 8)
    wave = np.sin(2 * np.pi * at / 200)
    found = strongest_cycle(at, wave + 0.3 * rng.normal(size=len(at)))
    assert found is not None and found.period == pytest.approx(200, rel=0.1)
    assert found.share > 0.6 and found.lasts == pytest.approx(1.0, abs=0.15)
    spiral = strongest_cycle(at, wave * np.exp(-at / 300))
    assert spiral is not None and spiral.lasts < 0.3
    noise = [strongest_cycle(at, rng.normal(size=len(at))) for _ in range(500)]
    assert max(cycle.share for cycle in noise if cycle is not None) < 0.45
    assert strongest_cycle(at[:40], wave[:40]) is None and strongest_cycle(at, 0 * wave) is None
    assert strongest_cycle(at, at / 8) is None  # a trend


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="a row for each of the same looks"):
        rotation(np.ones((4, 2)), np.ones((5, 2)))
    assert rotation(np.zeros((4, 2)), np.ones((4, 2))).turns == 0


def findings(play, every: int = 4) -> list[tuple[str, str]]:
    torch.manual_seed(0)
    with watching(every) as seen:
        play()
    assert not seen.of("note")
    engine = Engine()
    engine.feed_all(seen.rows, [Event(step, kind, data) for step, kind, data in seen.events])
    assert not engine.notes
    return [(f.id, f.severity) for f in engine.findings]


def dirac(rate: float, steps: int, penalty: float = 0.0) -> None:
    """Dirac GAN (Mescheder et al. 2018): the data are at 0, the generator at θ, the discriminator is x ↦ φ x."""
    theta, phi = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    players = [torch.optim.SGD([p], rate) for p in (phi, theta)]
    for _ in range(steps):
        for player in players:
            player.zero_grad()
        score = phi * theta.detach()
        (F.softplus(score) + penalty * phi.square()).sum().backward()
        (-F.softplus(phi.detach() * theta)).sum().backward()
        for player in players:
            player.step()


def bilinear(rate: float, steps: int) -> None:
    x, y = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6))
    mix = torch.linalg.qr(torch.randn(6, 6))[0]
    players = [torch.optim.SGD([p], rate) for p in (x, y)]
    for _ in range(steps):
        for player, loss in ((players[0], x @ mix @ y.detach()), (players[1], -(x.detach() @ mix @ y))):
            player.zero_grad()
            loss.backward()
            player.step()


def test_games_that_turn_are_found_first() -> None:
    assert findings(lambda: bilinear(0.1, 200), every=8)[0] == ("adversarial-rotation", "warning")
    assert findings(lambda: dirac(0.1, 500), every=12)[0] == ("adversarial-rotation", "warning")


def test_a_game_that_spirals_in_is_not_held_against_it() -> None:
    assert [f for f in findings(lambda: dirac(0.1, 500, penalty=0.3), every=12) if f[1] != "info"] == []


def test_two_optimizers_that_work_together_do_not_turn() -> None:
    def together() -> None:
        encoder, decoder = nn.Linear(6, 3), nn.Linear(3, 6)
        optimizers = [torch.optim.Adam(part.parameters(), 1e-2) for part in (encoder, decoder)]
        for _ in range(160):
            x = torch.randn(32, 6)
            for optimizer in optimizers:
                optimizer.zero_grad()
            (decoder(torch.tanh(encoder(x))) - x).square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()

    assert [f for f in findings(together) if f[1] != "info"] == []
