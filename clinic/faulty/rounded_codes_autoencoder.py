"""Waves of forty samples are stored as six integers each: an encoder, rounding to whole numbers, a decoder.

condition: frozen-parameters
accepts: frozen-parameters
allows: detached-parameters
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
rng = torch.Generator().manual_seed(args.seed)
torch.manual_seed(args.seed)


def draw(n):
    t = torch.linspace(0, 1, 40)
    a, phase = 0.5 + torch.rand(n, 2, 1, generator=rng), 2 * math.pi * torch.rand(n, 2, 1, generator=rng)
    f = torch.tensor([[1.0], [3.0]])
    return (a * torch.sin(2 * math.pi * f * t + phase)).sum(1) + 0.02 * torch.randn(n, 40, generator=rng)


class Codec(nn.Module):
    def __init__(self, numbers=6, levels=7):
        super().__init__()
        self.half = (levels - 1) / 2
        self.down = nn.ModuleDict({"in": nn.Linear(40, 64), "mid": nn.Linear(64, 64), "code": nn.Linear(64, numbers)})
        self.up = nn.ModuleDict({"in": nn.Linear(numbers, 64), "mid": nn.Linear(64, 64), "out": nn.Linear(64, 40)})

    def quantise(self, z):
        z = self.half * torch.tanh(z)
        return torch.round(z)

    def forward(self, x):
        h = F.silu(self.down["mid"](F.silu(self.down["in"](x))))
        q = self.quantise(self.down["code"](h))
        h = F.silu(self.up["mid"](F.silu(self.up["in"](q))))
        return self.up["out"](h), q


def train(model, optimizer, data, val, epochs=30, batch=64):
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(data)).split(batch):
            out, _ = model(data[rows])
            loss = F.mse_loss(out, data[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            out, codes = model(val)
            used = codes.unique(dim=0).shape[0] / len(val)
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {F.mse_loss(out, val).item():.4f}  codes {used:.2f}")


model = Codec()
optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
train(model, optimizer, draw(1024), draw(400))
