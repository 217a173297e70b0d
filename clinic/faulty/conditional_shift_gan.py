"""Where do darts of sixteen players land? A generator moves noise to each player's spot; a critic is told the player.

condition: adversarial-rotation
accepts: adversarial-rotation
allows: stalled, divergence, loss-spike, mode-collapse, learning-rate-too-high, dead-units
metric: off_by min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

PLAYERS, SPREAD = 16, 0.25


class Board:
    def __init__(self, generator):
        self.spots = 1.2 * torch.randn(PLAYERS, 2, generator=generator)
        self.generator = generator

    def throws(self, player):
        return self.spots[player] + SPREAD * torch.randn(len(player), 2, generator=self.generator)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.aim = nn.Embedding(PLAYERS, 2)
        nn.init.zeros_(self.aim.weight)
        self.log_spread = nn.Parameter(torch.zeros(2) - 1.0)

    def forward(self, player):
        return self.aim(player) + self.log_spread.exp() * torch.randn(len(player), 2)


class Critic(nn.Module):
    """A projection critic: what it thinks of a place, plus how the place agrees with the player."""

    def __init__(self, hidden=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2))
        self.score = nn.Linear(hidden, 1)
        self.player = nn.Embedding(PLAYERS, hidden)

    def forward(self, place, player):
        h = self.body(place)
        return self.score(h)[:, 0] + (h * self.player(player)).sum(1) / 4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    board = Board(torch.Generator().manual_seed(seed))
    model, critic = Generator(), Critic()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.9, 0.99))
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=0.02, betas=(0.9, 0.99))
    for step in range(1, 601):
        player = torch.randint(PLAYERS, (96,))
        real = board.throws(player)
        score = critic(real, player)
        critic_loss = F.softplus(-score).mean() + F.softplus(critic(model(player).detach(), player)).mean()
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()

        loss = F.softplus(-critic(model(player), player)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            off_by = (model.aim.weight.detach() - board.spots).norm(dim=1).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  critic {critic_loss.item():.4f}  off_by {off_by:.4f}")


if __name__ == "__main__":
    main()
