"""Contrastive learning of digits from two noisy views with a temperature of 0.05, so that logits reach twenty.

condition: healthy
metric: loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().images, dtype=torch.float32) / 8 - 1
batch_size, temperature = 96, 0.05


def view(x):
    shifted = torch.roll(x, shifts=tuple(torch.randint(-1, 2, (2,)).tolist()), dims=(1, 2))
    return (shifted + 0.3 * torch.randn_like(x)).flatten(1)


class Encoder(nn.Module):
    def __init__(self, width=128, outputs=32):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.projection = nn.Linear(width, outputs)

    def forward(self, x):
        return F.normalize(self.projection(self.body(x)), dim=1)


model = Encoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
same = torch.arange(batch_size)

running = 0.0
for step in range(1, 301):
    x = images[torch.randint(len(images), (batch_size,))]
    logits = model(view(x)) @ model(view(x)).T / temperature
    loss = 0.5 * (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
