"""Regression with a predicted variance: the Gaussian likelihood of precise targets makes a loss well below zero.

condition: healthy
metric: nll min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

x = 4 * torch.rand(2000, 1) - 2
spread = 0.01 + 0.05 * (x > 0)
y = torch.sin(2 * x) * 0.8 + spread * torch.randn_like(x)


class MeanAndVariance(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mean = nn.Linear(width, 1)
        self.log_variance = nn.Linear(width, 1)

    def forward(self, x):
        hidden = self.trunk(x)
        return self.mean(hidden), self.log_variance(hidden).clamp(-12, 4).exp()


model = MeanAndVariance()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.995)
loss_fn = nn.GaussianNLLLoss()

running = 0.0
for step in range(1, 601):
    rows = torch.randint(len(x), (128,))
    mean, variance = model(x[rows])
    loss = loss_fn(mean, y[rows], variance)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    scheduler.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  nll {running / 20:.4f}")
        running = 0.0
