"""Height of a terrain over a map, from coarse to fine: a new block of finer features joins every hundred steps.

condition: healthy
metric: rmse min
"""

import argparse
import math

import torch
from torch import nn


def terrain(p):
    x, y = p[:, 0], p[:, 1]
    coarse = torch.sin(3 * x) * torch.cos(2 * y)
    middle = 0.6 * torch.sin(9 * x + 2) * torch.sin(8 * y)
    fine = 0.4 * torch.cos(17 * x - 11 * y)
    return coarse + middle + fine


class Octave(nn.Module):
    """Random waves up to some frequency, and a small network on them; adds nothing when it is new."""

    def __init__(self, frequency, width=48):
        super().__init__()
        self.register_buffer("waves", torch.randn(2, 32) * frequency)
        self.hidden = nn.Linear(64, width)
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, p):
        phase = p @ self.waves
        features = torch.cat([phase.sin(), phase.cos()], 1)
        return self.out(torch.tanh(self.hidden(features))).squeeze(1)


class Terrain(nn.Module):
    def __init__(self):
        super().__init__()
        self.octaves = nn.ModuleList([Octave(2.0)])

    def refine(self):
        block = Octave(2.0 * 2.2 ** len(self.octaves))
        self.octaves.append(block)
        return block

    def forward(self, p):
        return sum(octave(p) for octave in self.octaves)


class Surveyor:
    def __init__(self, stages=4, steps_per_stage=100):
        self.stages, self.steps_per_stage = stages, steps_per_stage
        self.model = Terrain()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=5e-3)
        self.loss_fn = nn.MSELoss()
        self.check = torch.rand(2000, 2) * 2 - 1

    def fit(self):
        step = 0
        for stage in range(self.stages):
            if stage > 0:
                self.optimizer.add_param_group({"params": self.model.refine().parameters()})
            for _ in range(self.steps_per_stage):
                step += 1
                points = torch.rand(256, 2) * 2 - 1
                heights = terrain(points) + 0.05 * torch.randn(256)
                loss = self.loss_fn(self.model(points), heights)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                if step % 10 == 0:
                    print(f"step {step}  loss {loss.item():.4f}  rmse {self.rmse():.4f}  blocks {stage + 1}")

    @torch.no_grad()
    def rmse(self):
        return math.sqrt(self.loss_fn(self.model(self.check), terrain(self.check)).item())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    Surveyor().fit()
