"""A plant runs in one of four regimes; hard gates, most of them fully open or shut, choose among four linear models.

condition: healthy
metric: mae min
"""

import argparse

import torch
from torch import nn


class HardGate(nn.Module):
    """clip(z + ½, 0, 1), straight through where it is clipped a little."""

    def __init__(self, features, experts):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(features, 32), nn.Hardtanh(), nn.Linear(32, experts))
        nn.init.normal_(self.score[0].weight, std=2.0)

    def forward(self, x):
        z = 3 * self.score(x)
        gate = nn.functional.hardsigmoid(z)
        return gate + 0.1 * (torch.sigmoid(z) - torch.sigmoid(z).detach())


class SwitchedModel(nn.Module):
    def __init__(self, features=5, experts=12):
        super().__init__()
        self.gate = HardGate(2, experts)
        self.weight = nn.Parameter(0.3 * torch.randn(experts, features))
        self.offset = nn.Parameter(torch.zeros(experts))

    def forward(self, setting, x):
        answers = torch.einsum("bf,ef->be", x, self.weight) + self.offset
        return (self.gate(setting) * answers).sum(1)


class Plant:
    def __init__(self):
        self.slopes = torch.randn(4, 5)
        self.offsets = torch.randn(4)

    def run(self, hours):
        setting = 2 * torch.rand(hours, 2) - 1
        regime = 2 * (setting[:, 0] > 0).long() + (setting[:, 1] > 0.2 * setting[:, 0]).long()
        x = torch.randn(hours, 5)
        y = (self.slopes[regime] * x).sum(1) + self.offsets[regime]
        return setting, x, y + 0.1 * torch.randn(hours)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    plant, model = Plant(), SwitchedModel()
    optimizer = torch.optim.NAdam(model.parameters(), lr=6e-3)
    loss_fn = nn.SmoothL1Loss(beta=0.3)
    exam = plant.run(2000)
    for step in range(1, 601):
        setting, x, y = plant.run(128)
        loss = loss_fn(model(setting, x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                mae = (model(*exam[:2]) - exam[2]).abs().mean().item()
                clipped = ((model.gate(exam[0]) - 0.5).abs() > 0.49).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  mae {mae:.4f}  clipped {clipped:.2f}")


if __name__ == "__main__":
    main()
