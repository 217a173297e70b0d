"""A goods lift between nine floors: double Q-learning with a dueling network and a memory that prefers surprises.

condition: healthy
metric: delivered max
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn

FLOORS, HORIZON, WIDTH = 9, 60, 19


class Lift:
    def __init__(self, count, rng):
        self.count, self.rng = count, rng
        self.at, self.source, self.goal = self._floor(), self._floor(), self._floor()
        self.loaded = self.at < 0

    def _floor(self):
        return torch.randint(FLOORS, (self.count,), generator=self.rng)

    def view(self):
        target = torch.where(self.loaded, self.goal, self.source)
        return torch.cat([F.one_hot(self.at, FLOORS), F.one_hot(target, FLOORS), self.loaded[:, None]], 1).float()

    def move(self, action):
        doors = action == 0
        self.at = (self.at + (action == 1).long() - (action == 2).long()).clamp(0, FLOORS - 1)
        take, give = doors & ~self.loaded & (self.at == self.source), doors & self.loaded & (self.at == self.goal)
        self.loaded = (self.loaded | take) & ~give
        self.source, self.goal = (torch.where(give, self._floor(), old) for old in (self.source, self.goal))
        return give + 0.2 * take - 0.01, give


class Dueling(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, view):
        value, extra = self.body(view).split([1, 3], 1)
        return value + extra - extra.mean(1, keepdim=True)


class Memory:
    def __init__(self, size):
        self.size, self.count, (self.view, self.new) = size, 0, torch.zeros(2, size, WIDTH)
        self.action, (self.reward, self.rank) = torch.zeros(size, dtype=torch.long), torch.zeros(2, size)

    def add(self, view, action, reward, new):
        at = (self.count + torch.arange(len(view))) % self.size
        self.view[at], self.action[at], self.reward[at], self.new[at] = view, action, reward, new
        self.rank[at] = self.rank.max().clamp_min(1.0)
        self.count += len(view)

    def draw(self, count, beta):
        rows = self.rank.multinomial(count, replacement=True)
        return rows, (self.rank[rows] / self.rank[rows].min()) ** -beta


@torch.no_grad()
def test(net, lift):
    return sum(lift.move(net(lift.view()).argmax(1))[1].sum().item() for _ in range(HORIZON)) / lift.count


def main(seed, gamma=0.93, steps=1200):
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    lift, net, memory = Lift(16, rng), Dueling(), Memory(8000)
    target = copy.deepcopy(net).requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), lr=1.5e-3)
    for step in range(1, steps + 1):
        view, chance = lift.view(), max(0.05, 1 - step / 400)
        action = torch.where(torch.rand(16) < chance, torch.randint(3, (16,)), net(view).argmax(1))
        memory.add(view, action, lift.move(action)[0], lift.view())
        optimizer.param_groups[0]["lr"] = 1.5e-3 * min(1.0, 1.6 * (1 - step / steps) + 0.02)
        rows, weight = memory.draw(96, 0.4 + 0.6 * step / steps)
        with torch.no_grad():
            new = memory.new[rows]
            goal = memory.reward[rows] + gamma * target(new).gather(1, net(new).argmax(1, keepdim=True))[:, 0]
        gap = net(memory.view[rows]).gather(1, memory.action[rows, None])[:, 0] - goal
        loss = (weight * torch.where(gap.abs() < 1, 0.5 * gap**2, gap.abs() - 0.5)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        memory.rank[rows] = (gap.detach().abs() + 0.01) ** 0.6
        if step % 50 == 0:
            target.load_state_dict(net.state_dict())
        if step % 60 == 0:
            print(f"step {step}  loss {loss.item():.4f}  delivered {test(net, Lift(100, rng)):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
