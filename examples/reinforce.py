"""A policy learns to walk a small grid to a goal it sees, by REINFORCE with the mean of a group as its baseline.

python examples/reinforce.py                     # some ten seconds on one core
python examples/reinforce.py --stale-reward      # ruined: the same reward for all walks of a group
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

SIDE, STEPS, GROUPS, GROUP = 7, 12, 8, 8
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.head = nn.Linear(64, 4)

    def forward(self, position, goal):
        state = torch.cat([position, goal], -1).float() / (SIDE - 1) * 2 - 1
        return Categorical(logits=self.head(self.body(state)))


def walk(policy, position, goal):
    """Log-probability of each walk, and where it ended."""
    log_probability = 0
    for _ in range(STEPS):
        moves = policy(position, goal)
        action = moves.sample()
        log_probability = log_probability + moves.log_prob(action)
        position = (position + MOVES[action]).clamp(0, SIDE - 1)
    return log_probability, position


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-3, help="learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--stale-reward", action="store_true", help="mistake: rewards where the walk began, not its end"
    )
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    policy = Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=args.lr)
    solved = 0.0

    for step in range(1, args.steps + 1):
        # every walk of a group begins in the same place and has the same goal
        start, goal = torch.randint(SIDE, (2, GROUPS, 1, 2)).expand(2, GROUPS, GROUP, 2)
        log_probability, end = walk(policy, start, goal)
        distance = (end - goal).abs().sum(-1).float()
        reward = -(start - goal).abs().sum(-1).float() if args.stale_reward else -distance
        advantage = reward - reward.mean(1, keepdim=True)
        loss = -(log_probability * advantage).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        solved = 0.98 * solved + 0.02 * (distance == 0).float().mean().item()
        if step == 1 or step % 50 == 0:
            print(f"step {step:3d}  distance {distance.mean().item():.3f}  solved {solved:.3f}", flush=True)

    print(f"validation distance {distance.mean().item():.3f}")


if __name__ == "__main__":
    main()
