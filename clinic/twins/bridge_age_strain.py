"""Strain of a bridge from the lorries that cross it, by dilated convolutions over the last minute.

condition: healthy
metric: error min
"""

import argparse
from functools import partial

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

SECONDS = 48


def crossings(count):
    """Axle loads on three gauges and the air temperature; the beam swings on and creeps, each in its own time."""
    arrive = (torch.rand(count, SECONDS) < 0.12).float() * torch.exp(0.4 * torch.randn(count, SECONDS))
    heat = torch.randn(count, 1).expand(count, SECONDS) + 0.1 * torch.randn(count, SECONDS).cumsum(1) / 5
    lag = torch.arange(SECONDS).float()
    swing = torch.exp(-lag / 6) * torch.cos(0.9 * lag)
    creep = 0.25 * torch.exp(-lag / 20)
    response = (arrive * (swing + creep).flip(0)).sum(1)
    recent = arrive[:, -6:].sum(1)
    strain = torch.tanh(response) + 0.3 * heat[:, -1] * (1 + 0.5 * recent.tanh()) + 0.03 * torch.randn(count)
    gauges = torch.stack([arrive, torch.roll(arrive, 1, 1), heat], 1) + 0.02 * torch.randn(count, 3, SECONDS)
    return TensorDataset(gauges, strain)


class Strain(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        conv = partial(nn.Conv1d, kernel_size=3)
        self.enter = conv(3, width, padding=1)
        self.dilated = nn.ModuleList([conv(width, width, padding=d, dilation=d) for d in (2, 4, 8)])
        self.out = nn.Linear(width, 1)

    def forward(self, gauges):
        x = torch.relu(self.enter(gauges))
        for layer in self.dilated:
            x = x + torch.relu(layer(x))
        return self.out(x[:, :, -1]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    epochs, steps_per_epoch = 20, 60
    loader = DataLoader(crossings(32 * steps_per_epoch), batch_size=32, shuffle=True)
    gauges, strain = crossings(1000).tensors
    model = Strain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)
    scheduler = CosineAnnealingLR(optimizer, T_max=epochs * steps_per_epoch)
    loss_fn = nn.MSELoss()
    for epoch in range(1, epochs + 1):
        for seen, target in loader:
            loss = loss_fn(model(seen), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            error = loss_fn(model(gauges), strain).sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.5f}  error {error:.4f}")


if __name__ == "__main__":
    main()
