"""Decorations on pot shards as short codes: a vector-quantised autoencoder on small pictures.

condition: detached-parameters
accepts: detached-parameters
allows: stalled, overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader


def shards(count, size=12):
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    angle, shift, pitch = 3.14 * torch.rand(count), 6.28 * torch.rand(count), 3 + 4 * torch.rand(count)
    along = angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y
    stripes = torch.sin(pitch.view(-1, 1, 1) * along + shift.view(-1, 1, 1))
    centre = 0.6 * torch.randn(count, 2, 1, 1)
    dot = torch.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / 0.1)
    return (0.6 * stripes + 1.2 * dot).unsqueeze(1)


class Quantiser(nn.Module):
    def __init__(self, codes, width):
        super().__init__()
        self.codes = nn.Parameter(0.3 * torch.randn(codes, width))

    def forward(self, z):
        flat = z.permute(0, 2, 3, 1)
        index = torch.cdist(flat.flatten(0, 2), self.codes).argmin(1)
        q = self.codes[index].view(flat.shape).permute(0, 3, 1, 2)
        commit = F.mse_loss(q, z.detach())
        return q, commit


class VQ(nn.Module):
    def __init__(self, codes=64, width=16):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.GELU(), nn.Conv2d(32, width, 4, stride=2, padding=1)
        )
        self.quantiser = Quantiser(codes, width)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(width, 32, 4, stride=2, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        q, commit = self.quantiser(self.encoder(x))
        return self.decoder(q), commit


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
loader = DataLoader(shards(3200), batch_size=64, shuffle=True)
held = shards(500)
model = VQ()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

for epoch in range(1, 21):
    for pictures in loader:
        again, commit = model(pictures)
        loss = F.mse_loss(again, pictures) + commit
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        val_loss = F.mse_loss(model(held)[0], held).item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
