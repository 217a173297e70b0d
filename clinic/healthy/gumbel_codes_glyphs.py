"""Digits through six categorical codes of eight values each: Gumbel-softmax whose temperature falls.

condition: healthy
metric: rebuild min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

CODES, VALUES = 6, 8


class CategoricalAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, CODES * VALUES))
        self.decoder = nn.Sequential(nn.Linear(CODES * VALUES, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, pixels, temperature):
        logits = self.encoder(pixels).unflatten(1, (CODES, VALUES))
        code = F.gumbel_softmax(logits, tau=temperature)
        share = logits.softmax(-1)
        divergence = (share * (share.clamp_min(1e-8).log() + math.log(VALUES))).sum((1, 2)).mean()
        return self.decoder(code.flatten(1)), divergence

    def rebuild(self, pixels):
        best = self.encoder(pixels).unflatten(1, (CODES, VALUES)).argmax(-1)
        return self.decoder(F.one_hot(best, VALUES).float().flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pixels = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    pixels = pixels[torch.randperm(len(pixels))]
    train, val = pixels[:1500], pixels[1500:]
    model = CategoricalAutoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, 601):
        temperature = max(0.4, 2.0 * math.exp(-step / 250))
        batch = train[torch.randint(len(train), (64,))]
        rebuilt, divergence = model(batch, temperature)
        loss = (rebuilt - batch).square().sum(1).mean() + 0.02 * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                rebuild = (model.rebuild(val) - val).square().sum(1).mean()
            print(
                f"step {step}  loss {loss.item():.4f}  divergence {divergence.item():.3f}  rebuild {rebuild.item():.4f}"
            )


main()
