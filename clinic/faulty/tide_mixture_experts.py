"""Sea level at many harbours: a mixture of experts, one of which is chosen for every row by a gate.

condition: detached-parameters
accepts: detached-parameters
allows: frozen-parameters, optimizer-misses-parameters
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

REGIMES = 6


class Harbours:
    """Six kinds of coast answer to moon, sun, wind and pressure in ways of their own."""

    def __init__(self):
        map_of = torch.Generator().manual_seed(11)
        self.centre = 1.5 * torch.randn(REGIMES, 4, generator=map_of)
        self.answer = torch.randn(REGIMES, 6, generator=map_of)
        self.bend = torch.randn(REGIMES, 6, 6, generator=map_of) / 6
        self.scale = 1.0
        self.scale = self.sample(5000)[1].std()

    def sample(self, count):
        regime = torch.randint(REGIMES, (count,))
        coast = self.centre[regime] + 0.5 * torch.randn(count, 4)
        hour = 2 * math.pi * torch.rand(count, 2)
        wind, pressure = torch.randn(2, count, 1)
        drive = torch.cat([hour.sin(), hour.cos(), wind, pressure], dim=1)
        level = (self.answer[regime] * drive).sum(1)
        level = level + torch.einsum("bi,bij,bj->b", drive, self.bend[regime], drive)
        return torch.cat([coast, drive], dim=1), level / self.scale + 0.1 * torch.randn(count)


class Experts(nn.Module):
    def __init__(self, inputs=10, experts=8, width=4):
        super().__init__()
        self.gate = nn.Linear(inputs, experts)
        self.w1 = nn.Parameter(torch.randn(experts, inputs, width) / math.sqrt(inputs))
        self.b1 = nn.Parameter(torch.zeros(experts, width))
        self.w2 = nn.Parameter(torch.randn(experts, width) / math.sqrt(width))
        self.b2 = nn.Parameter(torch.zeros(experts))

    def forward(self, rows):
        scores = F.softmax(self.gate(rows), dim=1)
        hidden = F.silu(torch.einsum("bi,eiw->bew", rows, self.w1) + self.b1)
        answers = (hidden * self.w2).sum(2) + self.b2
        chosen = F.one_hot(scores.argmax(1), scores.shape[1]).float()
        balance = (chosen.mean(0) * scores.mean(0).detach()).sum() * scores.shape[1]
        return (chosen * answers).sum(1), balance


class Trainer:
    def __init__(self, harbours):
        self.harbours = harbours
        self.model = Experts()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=4e-3)
        self.exam = harbours.sample(2000)

    def step(self):
        rows, level = self.harbours.sample(128)
        predicted, balance = self.model(rows)
        loss = F.mse_loss(predicted, level) + 0.01 * balance
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def error(self):
        return F.mse_loss(self.model(self.exam[0])[0], self.exam[1]).sqrt().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    trainer = Trainer(Harbours())
    for step in range(1, 1501):
        loss = trainer.step()
        if step % 50 == 0:
            print(f"step {step}  loss {loss:.4f}  val_error {trainer.error():.4f}")


if __name__ == "__main__":
    main()
