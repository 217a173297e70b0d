"""Turbidity of a creek from a probe's readings: an MLP whose step length is Polyak's.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Polyak(torch.optim.Optimizer):
    def __init__(self, params, scale=0.5, longest=0.05):
        super().__init__(params, dict(scale=scale, longest=longest))

    @torch.no_grad()
    def step(self, loss):
        for group in self.param_groups:
            grads = [p.grad for p in group["params"]]
            square = sum(g.square().sum() for g in grads)
            length = loss / (group["scale"] * square + 1e-12)
            length = length.clamp(max=group["longest"])
            for p in group["params"]:
                p.sub_(length * p.grad)


def creek(count):
    flow, heat, rain = torch.randn(3, count)
    clear = torch.tanh(1.5 * flow) + 0.5 * torch.sin(2 * heat) + 0.4 * flow * rain
    probes = torch.stack([flow, heat, rain, flow + 0.3 * torch.randn(count)], 1)
    return probes, clear + 0.5 * torch.randn(count)


def main(seed):
    torch.manual_seed(seed)
    x, y = creek(6000)
    x_val, y_val = creek(2000)
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = Polyak(model.parameters())
    for epoch in range(1, 41):
        for index in torch.randperm(len(x)).split(200):
            loss = F.mse_loss(model(x[index]).squeeze(1), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss.detach())
        with torch.no_grad():
            val_mse = F.mse_loss(model(x_val).squeeze(1), y_val).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
