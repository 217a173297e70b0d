"""Hours until a parcel arrives, from its hub, its weight and the day; a prefetcher holds one batch ahead.

condition: stale-batch
accepts: stale-batch
allows: overfitting, divergence, loss-spike
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def parcels(count, rng):
    hub = torch.randint(0, 12, (count,), generator=rng)
    weight, volume, distance = torch.rand(3, count, generator=rng) * 2 - 1
    day = torch.randint(0, 7, (count,), generator=rng)
    busy = torch.sin(hub * 1.7) * torch.cos(day * 0.9)
    hours = 1.5 * busy + distance * (1 + 0.5 * torch.sin(hub * 0.6)) + (weight * volume - 0.2).relu() * 2
    hours = hours + 0.15 * torch.randn(count, generator=rng)
    numbers = torch.stack([weight, volume, distance], 1)
    return hub, day, numbers, hours


class Prefetcher:
    def __init__(self, loader):
        self.loader = loader
        self.batches = iter(loader)
        self.preload()

    def preload(self):
        try:
            self.ahead = next(self.batches)
        except StopIteration:
            self.batches = iter(())

    def next(self):
        batch = self.ahead
        self.preload()
        return batch


class Arrival(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.hub, self.day = nn.Embedding(12, 8), nn.Embedding(7, 6)
        self.net = nn.Sequential(
            nn.Linear(17, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1)
        )

    def forward(self, hub, day, numbers):
        return self.net(torch.cat([self.hub(hub), self.day(day), numbers], 1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val = parcels(1000, rng)
    prefetcher = Prefetcher(DataLoader(TensorDataset(*parcels(12800, rng)), batch_size=32, shuffle=True))
    model = Arrival()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    for step in range(1, 1201):
        hub, day, numbers, hours = prefetcher.next()
        loss = F.mse_loss(model(hub, day, numbers), hours)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(*val[:3]), val[3]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
