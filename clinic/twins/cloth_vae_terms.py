"""Woven cloth as seen by a loom's camera, put into eight numbers; the smoothness of the code is asked for more and more.

condition: healthy
metric: val_recon min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader

SIDE, CODE = 16, 8


def cloth(n):
    y, x = torch.meshgrid(torch.arange(SIDE) / SIDE, torch.arange(SIDE) / SIDE, indexing="ij")
    turn = math.pi * torch.rand(n, 1, 1)
    pitch = 1.5 + 1.5 * torch.rand(n, 1, 1)
    phase = 2 * math.pi * torch.rand(n, 2, 1, 1)
    warp = torch.sin(2 * math.pi * pitch * (x * turn.cos() + y * turn.sin()) + phase[:, 0])
    weft = torch.sin(2 * math.pi * pitch * (y * turn.cos() - x * turn.sin()) + phase[:, 1])
    shade = torch.rand(n, 1, 1) * (x - 0.5)
    return (0.8 * warp + 0.4 * weft + shade + 0.1 * torch.randn(n, SIDE, SIDE))[:, None]


class ClothCode(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, c, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(c, 2 * c, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(32 * c, 96),
            nn.SiLU(),
            nn.Linear(96, CODE),
        )
        self.decoder = nn.Sequential(
            nn.Linear(CODE, 96), nn.SiLU(), nn.Linear(96, 128), nn.SiLU(), nn.Linear(128, SIDE * SIDE)
        )

    def forward(self, x):
        code = self.encoder(x)
        noisy = code + 0.05 * torch.randn_like(code)
        return self.decoder(noisy).view_as(x), code


def code_energy(code):
    """Keeps the code small, so that the mill can store it in eight bits."""
    return code.square().sum(1).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=24)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loader = DataLoader(cloth(3000), batch_size=60, shuffle=True)
    held = cloth(400)
    model = ClothCode()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    mse = nn.MSELoss()
    weight = 1e-5
    for epoch in range(1, args.epochs + 1):
        weight = min(weight * 1.75, 1e-4)
        for x in loader:
            output, code = model(x)
            recon, energy = mse(output, x), code_energy(code)
            loss = recon + weight * energy
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_recon = mse(model(held)[0], held).item()
        print(f"epoch {epoch}  recon {recon.item():.4f}  energy {energy.item():.3f}  val_recon {val_recon:.4f}")


if __name__ == "__main__":
    main()
