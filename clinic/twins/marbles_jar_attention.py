"""Attention over the marbles in a jar estimates the mean mass of those of one colour.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=1500)
args = parser.parse_args()
torch.manual_seed(args.seed)

COLOURS, MARBLES = 5, 30


def jars(n):
    """Every colour of a jar has its mass; each marble is weighed once, on a poor balance."""
    colour = torch.randint(COLOURS, (n, MARBLES))
    mass = torch.randn(n, COLOURS)
    reading = mass.gather(1, colour) + 0.5 * torch.randn(n, MARBLES)
    asked = colour.gather(1, torch.randint(MARBLES, (n, 1))).squeeze(1)
    chosen = (colour == asked[:, None]).float()
    return colour, reading, asked, (chosen * reading).sum(1) / chosen.sum(1)


class JarReader(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.colour = nn.Embedding(COLOURS, width)
        self.reading = nn.Linear(1, width)
        self.asked = nn.Embedding(COLOURS, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.GELU(), nn.Linear(48, 1))
        self.width = width

    def forward(self, colour, reading, asked, temperature):
        marble = self.colour(colour) + self.reading(reading.unsqueeze(-1))
        query = self.query(self.asked(asked)).unsqueeze(1)
        scores = query @ self.key(marble).transpose(1, 2) / self.width**0.5
        weights = torch.softmax(scores / temperature, -1)
        return self.head((weights @ self.value(marble)).squeeze(1)).squeeze(-1)


def temperature(step):
    """Attention begins soft and sharpens."""
    return max(0.4, 0.992**step)


model = JarReader()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
loss_fn = nn.SmoothL1Loss()
held_out = jars(400)

for step in range(args.steps):
    *inputs, target = jars(48)
    loss = loss_fn(model(*inputs, temperature(step)), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            *inputs, target = held_out
            error = (model(*inputs, temperature(step)) - target).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
