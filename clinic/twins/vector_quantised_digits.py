"""Digits as four codebook entries each: an encoder, a vector quantiser with a learned codebook, a decoder.

condition: healthy
metric: rebuild_error min
"""

import argparse
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


@dataclass
class Config:
    slots: int = 4
    entries: int = 24
    width: int = 8
    batch: int = 128
    steps: int = 450
    rate: float = 2e-3
    beta: float = 0.25


class Quantiser(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.codebook = nn.Embedding(cfg.entries, cfg.width)
        nn.init.uniform_(self.codebook.weight, -0.5, 0.5)
        self.beta = cfg.beta

    def forward(self, z):
        flat = z.reshape(-1, z.shape[-1])
        nearest = torch.cdist(flat, self.codebook.weight).argmin(1)
        q = self.codebook(nearest).view_as(z)
        loss = F.mse_loss(q, z.detach()) + self.beta * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), loss


class VQAutoencoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        size = cfg.slots * cfg.width
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, size), nn.Unflatten(1, (4, -1)))
        self.quantiser = Quantiser(cfg)
        self.decoder = nn.Sequential(nn.Flatten(), nn.Linear(size, 128), nn.GELU(), nn.Linear(128, 64))

    def forward(self, x):
        q, codebook_loss = self.quantiser(self.encoder(x))
        return self.decoder(q), codebook_loss


def train(cfg, images):
    model = VQAutoencoder(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.rate)
    held, images = images[:300], images[300:]
    for step in range(1, cfg.steps + 1):
        x = images[torch.randint(len(images), (cfg.batch,))]
        rebuilt, codebook_loss = model(x)
        loss = F.mse_loss(rebuilt, x) + codebook_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                error = F.mse_loss(model(held)[0], held) / held.var()
            print(f"step {step}  loss {loss.item():.4f}  rebuild_error {error.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    train(Config(), pixels[torch.randperm(len(pixels))])
