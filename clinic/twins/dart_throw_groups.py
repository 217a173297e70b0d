"""A policy throws darts at a board that moves; it is taught by groups of throws, scored as the rules say.

condition: healthy
metric: miss min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributions import Normal


@dataclass
class Settings:
    group: int = 8
    boards: int = 24
    steps: int = 300
    lr: float = 3e-3
    bull: float = 0.02


class Thrower(nn.Module):
    def __init__(self):
        super().__init__()
        self.aim = nn.Sequential(nn.Linear(3, 48), nn.Tanh(), nn.Linear(48, 2))
        self.log_spread = nn.Parameter(torch.full((2,), -1.0))

    def forward(self, board):
        return Normal(self.aim(board), self.log_spread.clamp(-2.5, 0.0).exp())


def new_boards(count):
    return 2 * torch.rand(count, 3) - 1


def target(board):
    """Where the board will be when the dart arrives."""
    place, speed = board[..., :2], board[..., 2:]
    return place + 0.8 * speed * torch.stack([place[..., 1], -place[..., 0]], -1) + 0.5


def score(throw, goal, settings):
    distance = (throw - goal).norm(dim=-1)
    return (distance < settings.bull).float() - distance


def group_loss(model, settings):
    boards = new_boards(settings.boards).repeat_interleave(settings.group, 0)
    policy = model(boards)
    throws = policy.sample()
    rewards = score(throws, target(boards), settings).view(-1, settings.group)
    advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    return -(policy.log_prob(throws).sum(-1) * advantage.flatten()).mean(), rewards.mean()


def main(seed):
    torch.manual_seed(seed)
    settings = Settings()
    model = Thrower()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
    test_boards = new_boards(400)
    for step in range(1, settings.steps + 1):
        loss, reward = group_loss(model, settings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                miss = (model(test_boards).mean - target(test_boards)).norm(dim=-1).mean()
            print(f"step {step}  loss {loss.item():.4f}  reward {reward.item():.4f}  miss {miss.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
