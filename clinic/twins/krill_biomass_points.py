"""Krill biomass between survey stations: each wanted place looks at the stations around it, noisy hauls and all.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn


def surveys(count, stations=36, wanted=16):
    """Smooth fields over a unit square; a haul measures the field with an error."""
    wave = torch.randn(count, 6, 2, 1) * 3.0
    phase, size = 6.283 * torch.rand(count, 6, 1), torch.randn(count, 6, 1) / 6**0.5
    place = torch.rand(count, stations + wanted, 2)
    angle = (wave.squeeze(-1) @ place.transpose(1, 2)) + phase
    field = (size * torch.cos(angle)).sum(1)
    haul = field[:, :stations] + 0.5 * torch.randn(count, stations)
    return place[:, :stations], haul, place[:, stations:], field[:, stations:]


class Kriging(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.locate = nn.Sequential(nn.Linear(2, 64), nn.GELU(), nn.Linear(64, width))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = nn.Sequential(nn.Linear(3, 64), nn.GELU(), nn.Linear(64, width))
        self.head = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(self, place, haul, wanted):
        q, k = self.query(self.locate(wanted)), self.key(self.locate(place))
        weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)
        read = weights @ self.value(torch.cat([place, haul.unsqueeze(-1)], -1))
        return self.head(read).squeeze(-1), weights


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Kriging()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
STEPS, SPARSITY = 1500, 0.001
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=1e-4)
check = surveys(400)

for step in range(1, STEPS + 1):
    place, haul, wanted, field = surveys(32)
    guess, weights = model(place, haul, wanted)
    entropy = -(weights * (weights + 1e-9).log()).sum(-1).mean()
    ramp = min(1.0, max(0.0, (step - 500) / 500))
    loss = nn.functional.mse_loss(guess, field) + SPARSITY * ramp * entropy
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 50 == 0:
        with torch.no_grad():
            rmse = nn.functional.mse_loss(model(*check[:3])[0], check[3]).sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  rmse {rmse:.4f}")
