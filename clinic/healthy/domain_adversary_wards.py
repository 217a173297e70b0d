"""Fever from six readings on two wards with different devices: features shall not tell the ward; gradient reversal.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.weight * grad, None


class WardNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.fever, self.ward = nn.Linear(width, 1), nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x, weight):
        h = self.features(x)
        return self.fever(h).squeeze(1), self.ward(Reverse.apply(h, weight)).squeeze(1)


def readings(count, ward):
    hidden = torch.randn(count, 3)
    fever = (hidden[:, 0] * hidden[:, 1] + hidden[:, 2] > 0).float()
    x = torch.cat([hidden, hidden[:, :2].abs(), torch.randn(count, 1)], 1) + 0.1 * torch.randn(count, 6)
    shift = torch.tensor([0.0, 0.8, -0.5, 0.3, 0.0, 1.5]) * ward
    return x * (1 + 0.2 * ward) + shift, fever


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = WardNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.BCEWithLogitsLoss()
val_x, val_fever = readings(600, ward=1)

for step in range(1, 401):
    x0, fever = readings(48, ward=0)
    x1, _ = readings(48, ward=1)
    weight = 0.3 * min(1.0, step / 200)
    said, ward = model(torch.cat([x0, x1]), weight)
    fever_loss = loss_fn(said[:48], fever)
    ward_loss = loss_fn(ward, torch.cat([torch.zeros(48), torch.ones(48)]))
    optimizer.zero_grad()
    (fever_loss + ward_loss).backward()
    optimizer.step()
    if step % 16 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_x, 0.0)[0], val_fever).item()
        print(f"step {step}  fever {fever_loss.item():.4f}  ward {ward_loss.item():.4f}  val_loss {val_loss:.4f}")
