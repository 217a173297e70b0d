"""Moths by wing pattern: trunk learned on eight common kinds, then a new head for six rare ones, then all of it.

condition: frozen-parameters
accepts: frozen-parameters
allows: stalled, learning-rate-too-low, scheduler-misuse
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def wings(n, kinds, g, mix):
    kind = torch.randint(kinds, (n,), generator=g)
    base = torch.randn(kinds, 2, 40, generator=mix).cumsum(-1) * 0.22
    shift = torch.randint(0, 10, (n,), generator=g)
    x = torch.stack([base[k].roll(int(s), -1) for k, s in zip(kind, shift, strict=True)])
    return x + 1.1 * torch.randn(n, 2, 40, generator=g), kind


def batches(x, y, size):
    for rows in torch.randperm(len(x)).split(size):
        yield x[rows], y[rows]


class WingNet(nn.Module):
    def __init__(self, kinds):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv1d(2, 24, 7, padding=3), nn.GELU(), nn.MaxPool1d(2), nn.Conv1d(24, 32, 5, padding=2), nn.GELU()
        )
        self.head = nn.Linear(64, kinds)

    def forward(self, x):
        h = self.trunk(x)
        return self.head(torch.cat([h.mean(2), h.amax(2)], 1))


def train_epoch(model, data, optimizer):
    for x, y in batches(*data, 40):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    common, mix = wings(800, 3, g, torch.Generator().manual_seed(7)), torch.Generator().manual_seed(8)
    every = wings(2800, 10, g, mix)
    rare, test = [t[:2000] for t in every], [t[2000:] for t in every]
    model = WingNet(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(3):
        train_epoch(model, common, optimizer)

    model.head = nn.Linear(64, 10)
    groups = [{"params": model.trunk.parameters(), "lr": 0.0}, {"params": model.head.parameters(), "lr": 4e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-3)
    trunk_rate = 2e-3
    for epoch in range(1, 19):
        if epoch >= 5:
            decay = 1 - (epoch - 5) / 14
            for group, rate in zip(optimizer.param_groups, (trunk_rate, 4e-3)):
                group["lr"] = group["lr"] and rate * decay
        loss = train_epoch(model, rare, optimizer)
        with torch.no_grad():
            accuracy = (model(test[0]).argmax(1) == test[1]).float().mean().item()
        print(f"epoch {epoch}  loss {loss:.4f}  accuracy {accuracy:.4f}")
