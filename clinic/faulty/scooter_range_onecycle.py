"""How far does a rented scooter go on its charge? An MLP on charge, weight, slope, wind and age; one-cycle rate.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-low, stalled
metric: val_km min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 18
BATCH = 64


def rides(count, generator):
    charge = torch.rand(count, generator=generator)
    rider = 50 + 50 * torch.rand(count, generator=generator)
    slope = 2 * torch.randn(count, generator=generator)
    wind = 4 * torch.randn(count, generator=generator)
    age = 3 * torch.rand(count, generator=generator)
    drag = 1 + 0.25 * torch.tanh(slope) + 0.03 * wind + 0.01 * wind.clamp_min(0) ** 2
    km = 35 * charge**1.2 * (1 - 0.12 * age) / drag.clamp_min(0.5) * (75 / rider) ** 0.7
    features = torch.stack([2 * charge - 1, (rider - 75) / 15, slope / 2, wind / 4, age - 1.5], 1)
    return features, km + 0.5 * torch.randn(count, generator=generator)


class RangeModel(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(5, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.body(x)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = rides(1280, generator), rides(600, generator)
    loader = DataLoader(TensorDataset(*train), batch_size=BATCH, shuffle=True, generator=generator)
    model = RangeModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=EPOCHS * len(loader))
    loss_fn = nn.HuberLoss()
    for epoch in range(1, EPOCHS + 1):
        model.train()
        total = 0.0
        for features, km in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(features), km)
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val_km = (model(val[0]) - val[1]).abs().mean().item()
        rate = optimizer.param_groups[0]["lr"]
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  lr {rate:.2e}  val_km {val_km:.4f}")


main()
