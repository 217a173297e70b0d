"""Where a speaker grew up, from formants of a few vowels; the hidden units are sharpened so that a chip can hold them as bits.

condition: saturated-units
accepts: saturated-units
allows: vanishing-gradient, exploding-gradient, stalled, loss-spike, divergence
metric: error min
"""

import argparse

import torch
from torch import nn

TOWNS, VOWELS, STEPS = 8, 6, 1500

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


class Region:
    """Each town has its vowels (two formants each); how they glide into one another is the habit of the region."""

    def __init__(self):
        self.vowels = 0.8 * torch.randn(TOWNS, 2 * VOWELS)
        self.glide = torch.randn(2 * VOWELS, 2 * VOWELS) / (2 * VOWELS) ** 0.5

    def speakers(self, count):
        town = torch.randint(TOWNS, (count,))
        age = torch.randn(count, 1)
        formants = self.vowels[town] + 0.55 * torch.randn(count, 2 * VOWELS)
        formants = formants + 0.7 * torch.sin(2 * formants @ self.glide) + 0.3 * age
        return torch.cat([formants / 1.3, age], 1), town


class BitNet(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.first = nn.Linear(2 * VOWELS + 1, width)
        self.second = nn.Linear(width, width)
        self.town = nn.Linear(width, TOWNS)
        self.sharpness = 1.0

    def forward(self, x):
        x = torch.tanh(self.sharpness * self.first(x))
        x = torch.tanh(self.sharpness * self.second(x))
        return self.town(x)


def sharpness_at(step, last=60.0):
    """One until step 400, then a constant factor per step up to the last value at step 800."""
    return last ** (min(max(step - 400, 0), 400) / 400)


home, away = Region(), Region()
held = {region: region.speakers(1000) for region in (home, away)}
model = BitNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, STEPS + 1):
    model.sharpness = sharpness_at(step)
    region = home if step <= 750 else away
    formants, town = region.speakers(64)
    loss = loss_fn(model(formants), town)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            formants, town = held[region]
            wrong = (model(formants).argmax(1) != town).float().mean().item()
        print(f"step {step}  sharpness {model.sharpness:.1f}  loss {loss.item():.4f}  error {wrong:.4f}")
