"""A mixture of experts forecasts the drag of towed nets; gate and experts have an optimiser each.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, learning-rate-too-high, loss-spike, exploding-gradient, unsafe-step, dead-units
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Towed(nn.Module):
    def __init__(self, inputs=6, experts=4, width=24):
        super().__init__()
        self.gate = nn.Linear(inputs, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 1)) for _ in range(experts)
        )

    def forward(self, x):
        share = self.gate(x).softmax(-1)
        return (share * torch.cat([e(x) for e in self.experts], 1)).sum(1)


def tows(n):
    x = torch.randn(n, 6)
    slow = 0.6 * x[:, 1] ** 2 + x[:, 2]
    fast = torch.sin(2 * x[:, 3]) - x[:, 4] * x[:, 1]
    return x, torch.where(x[:, 0] > 0, fast, slow) + 0.1 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = tows(10000)
    val_x, val_y = tows(2000)
    model = Towed()
    loss_fn = nn.MSELoss()
    gate_optimizer = torch.optim.Adam(model.gate.parameters(), lr=2e-3)
    expert_optimizer = torch.optim.SGD(model.experts.parameters(), lr=0.05, momentum=0.8)
    for step in range(1, 1501):
        rows = torch.randint(len(x), (64,))
        loss = loss_fn(model(x[rows]), y[rows])
        gate_optimizer.zero_grad()
        loss.backward()
        gate_optimizer.step()
        expert_optimizer.step()
        if step % 50 == 0 or step == 1:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_loss {loss_fn(model(val_x), val_y).item():.4f}")


main()
