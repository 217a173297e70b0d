"""Volume of milk in dairy tanks from two level probes, the tilt and the temperature.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled, learning-rate-too-low
metric: val_mae min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def tanks(n, g):
    level = torch.rand(n, generator=g)
    tilt = 0.2 * torch.randn(n, 2, generator=g)
    warm = torch.randn(n, generator=g)
    probe = torch.stack([level + tilt[:, 0], level - tilt[:, 0] + 0.5 * tilt[:, 1]], 1) + 0.02 * torch.randn(
        n, 2, generator=g
    )
    volume = 3 * (level - torch.sin(6.28 * level) / 6.28) * (1 + 0.05 * warm)
    x = torch.cat([(probe - 0.5) / 0.35, tilt / 0.2, warm.unsqueeze(1)], 1)
    return x, (volume - 1.5).unsqueeze(1)


def pinball(pred, target, q=0.5):
    diff = target - pred
    return torch.maximum(q * diff, (q - 1) * diff).mean()


class LevelNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.net(x).flatten()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
g = torch.Generator().manual_seed(seed)
loader = DataLoader(TensorDataset(*tanks(2560, g)), batch_size=64, shuffle=True)
val_x, val_y = tanks(800, g)
model = LevelNet()
optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.85)

for epoch in range(1, 21):
    for x, y in loader:
        optimizer.zero_grad()
        loss = pinball(model(x), y)
        loss.backward()
        optimizer.step()
    scheduler.step()
    with torch.no_grad():
        mae = (model(val_x).reshape(-1, 1) - val_y).abs().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_mae {mae:.4f}")
