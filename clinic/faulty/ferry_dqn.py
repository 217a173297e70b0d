"""A ferry learns to cross a river with a current: deep Q-learning from a log of random crossings, target network.

condition: broadcast-loss
accepts: broadcast-loss
metric: reward max
"""

import argparse
import copy

import torch
from torch import nn

HEADINGS = torch.tensor([[0.0, 1.0], [0.7, 0.7], [-0.7, 0.7], [1.0, 0.0], [-1.0, 0.0]])


def sail(place, action):
    """One move of the boat; it is over at the far bank, best near the jetty at 0.5."""
    along, across = place.unbind(1)
    current = 0.1 * torch.sin(torch.pi * across.clamp(0, 1))
    move = 0.2 * HEADINGS[action]
    along = (along + move[:, 0] + current).clamp(-0.5, 1.5)
    across = (across + move[:, 1]).clamp(min=0)
    done = across >= 1
    reward = torch.where(done, 1 - 3 * (along - 0.5).abs(), torch.tensor(-0.04))
    return torch.stack([along, across], dim=1), reward, done.float()


class QNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.q = nn.Linear(64, len(HEADINGS))

    def forward(self, place):
        return self.q(self.body(2 * place - 1))


class Agent:
    def __init__(self, log, gamma=0.95):
        self.log, self.gamma = log, gamma
        self.model = QNetwork()
        self.target = copy.deepcopy(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def learn(self, rows):
        place, action, reward, after, done = (part[rows] for part in self.log)
        q = self.model(place).gather(1, action.unsqueeze(1))
        with torch.no_grad():
            best = self.target(after).max(1, keepdim=True).values
            goal = reward + self.gamma * (1 - done) * best
        error = q - goal
        loss = torch.where(error.abs() < 1, 0.5 * error.square(), error.abs() - 0.5).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def cross(self, starts):
        place, total, sailing = starts, torch.zeros(len(starts)), torch.ones(len(starts))
        for _ in range(15):
            place, reward, done = sail(place, self.model(place).argmax(1))
            total += sailing * reward
            sailing = sailing * (1 - done)
        return total.mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    place, action = (
        torch.rand(6000, 2) * torch.tensor([2.0, 1.0]) - torch.tensor([0.5, 0.0]),
        torch.randint(len(HEADINGS), (6000,)),
    )
    after, reward, done = sail(place, action)
    agent = Agent((place, action, reward, after, done))
    starts = torch.cat([1.6 * torch.rand(100, 1) - 0.3, torch.zeros(100, 1)], dim=1)
    for step in range(1, 601):
        loss = agent.learn(torch.randint(6000, (128,)))
        if step % 12 == 0:
            agent.target.load_state_dict(agent.model.state_dict())
            print(f"step {step}  loss {loss:.4f}  reward {agent.cross(starts):.3f}")


if __name__ == "__main__":
    main()
