"""The tide an hour ahead from the last day and a half, by two one-dimensional convolutions; own robust loss, NAdam.

condition: healthy
metric: correlation max
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

hours = torch.arange(6000)
moon = torch.sin(2 * math.pi * hours / 12.42)
sun = 0.4 * torch.sin(2 * math.pi * hours / 12.0 + 1.0)
tide = moon + sun + 0.2 * torch.sin(2 * math.pi * hours / 25.8) + 0.1 * torch.randn(len(hours))


class Forecaster(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, channels, 5, stride=2), nn.GELU(), nn.Conv1d(channels, channels, 5, stride=2), nn.GELU()
        )
        self.head = nn.Linear(channels * 6, 1)

    def forward(self, window):
        features = self.convolutions(window.unsqueeze(1)).flatten(1)
        return self.head(features).squeeze(1)


def loss_fn(prediction, target):
    return torch.log(torch.cosh(prediction - target)).mean()


model = Forecaster()
optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)

for step in range(1, 301):
    starts = torch.randint(len(tide) - 37, (64,))
    window = tide[starts[:, None] + torch.arange(36)]
    target = tide[starts + 36]
    prediction = model(window)
    loss = loss_fn(prediction, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        pair = torch.stack([prediction.detach().flatten(), target])
        print(f"step {step}  loss {loss.item():.4f}  correlation {torch.corrcoef(pair)[0, 1].item():.4f}")
