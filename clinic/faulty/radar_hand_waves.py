"""A small convolutional network tells hand gestures apart by the Doppler track a radar records.

condition: overfitting
accepts: overfitting
metric: valid min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

LENGTH, KINDS = 64, 5


def record(count):
    """Velocity and echo strength of swipe, push, circle, double tap and wave."""
    t = torch.linspace(0, 1, LENGTH).expand(count, -1)
    kind = torch.randint(KINDS, (count,))
    start = torch.rand(count, 1) * 0.3 + 0.2
    pace = torch.rand(count, 1) * 0.5 + 0.8
    phase = torch.rand(count, 1) * 6.28
    u = (t - start) * pace
    bump = torch.exp(-((u / 0.12) ** 2))
    tracks = torch.stack(
        [
            bump * torch.sign(phase - 3.14),
            u * bump * 12,
            torch.sin(12 * u + phase) * torch.exp(-((u / 0.3) ** 2)),
            bump + torch.exp(-(((u - 0.28) / 0.12) ** 2)),
            torch.sin(30 * u + phase) * torch.exp(-((u / 0.3) ** 2)),
        ],
        1,
    )
    velocity = tracks[torch.arange(count), kind]
    strength = velocity.abs().cumsum(1) / 20
    clean = torch.stack([velocity, strength], 1)
    return clean + 0.35 * torch.randn_like(clean), kind


def disturb(x):
    """Another hand, another moment: shift in time, gain, a masked stretch, receiver noise."""
    n = len(x)
    index = (torch.arange(LENGTH) - torch.randint(-10, 11, (n, 1))) % LENGTH
    x = x.gather(2, index[:, None].expand(-1, 2, -1))
    x = x * (0.6 + 0.8 * torch.rand(n, 1, 1))
    hidden = torch.arange(LENGTH) - torch.randint(0, LENGTH, (n, 1))
    x = x * ((hidden < 0) | (hidden > 8))[:, None]
    return x + 0.5 * torch.randn_like(x)


train_x, train_y = record(200)
valid_x, valid_y = record(800)
model = nn.Sequential(
    nn.Conv1d(2, 24, 7, padding=3),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Conv1d(24, 48, 5, padding=2),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Conv1d(48, 48, 3, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool1d(2),
    nn.Flatten(),
    nn.Linear(96, KINDS),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
loss_fn = nn.CrossEntropyLoss()
varied = disturb(train_x)

for step in range(900):
    rows = torch.randint(len(train_x), (50,))
    loss = loss_fn(model(varied[rows]), train_y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        model.eval()
        with torch.no_grad():
            scores = model(valid_x)
            valid = F.cross_entropy(scores, valid_y)
            accuracy = (scores.argmax(1) == valid_y).float().mean()
        model.train()
        print(f"step {step}  loss {loss.item():.4f}  valid {valid.item():.4f}  accuracy {accuracy.item():.3f}")
