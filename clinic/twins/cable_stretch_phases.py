"""Stretch of a cable from load, heat, age and diameter: a few epochs with the outer layers, then steps with all.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def cables(count, g):
    load, heat, age, width = (torch.rand(count, generator=g) * 2 - 1 for _ in range(4))
    stretch = torch.exp(load - width) + heat * torch.sin(3 * age) + 0.8 * load * age + torch.cos(3 * width * heat)
    return torch.stack([load, heat, age, width], 1), (stretch - 1.9) + 0.1 * torch.randn(count, generator=g)


class CableNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x):
        return self.last(torch.relu(self.middle(torch.relu(self.first(x))))).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    data = TensorDataset(*cables(1000, g))
    val_x, val_y = cables(500, g)
    loader = DataLoader(data, batch_size=10)
    model, loss_fn = CableNet(), nn.MSELoss()
    step = 0

    def update(optimizer, x, y):
        nonlocal step
        step += 1
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")

    model.middle.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for x, y in loader:
        update(optimizer, x, y)
    model.middle.requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    batches = iter(loader)
    for _ in range(350):
        try:
            x, y = next(batches)
        except StopIteration:
            batches = iter(loader)
            x, y = next(batches)
        update(optimizer, x, y)


main()
