"""How crowded is each crossing? Message passing over a random road network, five rounds, momentum SGD.

condition: exploding-gradient
accepts: exploding-gradient, off-critical-initialisation
allows: off-critical-initialisation, non-finite, unsafe-step, divergence, learning-rate-too-high, loss-spike, stalled,
  dead-units, rank-collapse, always-clipping
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

CROSSINGS = 80


class RoadNetwork:
    """Crossings are joined when they are near; traffic is a smooth function of what surrounds a crossing."""

    def __init__(self, reach=0.3):
        place = torch.rand(CROSSINGS, 2)
        self.adjacency = ((torch.cdist(place, place) < reach) & ~torch.eye(CROSSINGS, dtype=torch.bool)).float()
        self.degree = self.adjacency.sum(1, keepdim=True).clamp_min(1)

    def snapshot(self, days):
        shops = torch.randn(days, CROSSINGS, 3)
        near = self.adjacency @ shops / self.degree
        traffic = torch.tanh(2 * near[..., 0] + shops[..., 1]) + 0.5 * near[..., 1] * shops[..., 2]
        return shops, traffic


class Round(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.own = nn.Linear(width, width)
        self.message = nn.Linear(width, width, bias=False)

    def forward(self, h, roads):
        arrived = roads.adjacency @ self.message(h)
        return F.relu(self.own(h) + arrived)


class TrafficNet(nn.Module):
    def __init__(self, width=32, rounds=5):
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.rounds = nn.ModuleList(Round(width) for _ in range(rounds))
        self.read = nn.Linear(width, 1)

    def forward(self, shops, roads):
        h = self.embed(shops)
        for layer in self.rounds:
            h = layer(h, roads)
        return self.read(h).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    roads = RoadNetwork()
    model = TrafficNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    test_shops, test_traffic = roads.snapshot(40)
    for step in range(1, 321):
        shops, traffic = roads.snapshot(8)
        loss = F.smooth_l1_loss(model(shops, roads), traffic)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                error = F.l1_loss(model(test_shops, roads), test_traffic).item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
