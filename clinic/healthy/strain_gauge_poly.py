"""Strain along a loaded beam from a handful of gauges; the network tells its own uncertainty, so its loss goes below zero.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def beams(count, generator):
    load = torch.rand(count, 3, generator=generator)
    place = torch.rand(count, 3, generator=generator)
    at = torch.rand(count, 1, generator=generator)
    gauges = torch.tensor([0.15, 0.4, 0.6, 0.85])

    def strain(x):
        return (load[..., None] * torch.exp(-(((x[:, None] - place[..., None]) / 0.25) ** 2))).sum(1)

    seen = strain(gauges.expand(count, 4)) + 0.01 * torch.randn(count, 4, generator=generator)
    target = strain(at).squeeze(1)
    noise = 0.02 + 0.08 * at.squeeze(1)
    return torch.cat([seen - 1, 2 * at - 1, torch.sin(6 * at)], 1), target - 1 + noise * torch.randn(
        count, generator=generator
    )


class Beam(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.mean, self.spread = nn.Linear(hidden, 1), nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h).squeeze(1), nn.functional.softplus(self.spread(h)).squeeze(1) + 1e-3


def nll(model, x, y):
    mean, sd = model(x)
    return -torch.distributions.Normal(mean, sd).log_prob(y).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = beams(12000, generator)
    x_val, y_val = beams(2000, generator)
    loader = DataLoader(TensorDataset(x, y), batch_size=120, shuffle=True)
    model = Beam()
    optimizer = torch.optim.NAdam(model.parameters(), lr=1e-3)
    epochs = 18
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * len(loader), pct_start=0.2)
    for epoch in range(1, epochs + 1):
        for xb, yb in loader:
            loss = nll(model, xb, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            val = nll(model, x_val, y_val).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_nll {val:.4f}")


if __name__ == "__main__":
    main()
