"""Which of five shapes does a flower's outline have? A plain stack of convolutions over forty radii; momentum SGD.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: stalled, learning-rate-too-low, saturated-units, off-critical-initialisation
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def outlines(count, points=40):
    kind = torch.randint(5, (count,))
    angle = torch.arange(points) * (2 * torch.pi / points)
    petals = torch.tensor([3, 4, 5, 6, 8])[kind]
    turn = 2 * torch.pi * torch.rand(count, 1)
    depth = 0.6 + 0.4 * torch.rand(count, 1)
    radius = depth * torch.cos(petals[:, None] * angle + turn)
    return (radius + 0.35 * torch.randn(count, points)).unsqueeze(1), kind


class OutlineNet(nn.Module):
    def __init__(self, channels=20, depth=8):
        super().__init__()
        layers = []
        for index in range(depth):
            layers += [
                nn.Conv1d(channels if index else 1, channels, 5, padding=2, padding_mode="circular"),
                nn.Sigmoid(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * channels, 5)

    def forward(self, x):
        x = self.body(x)
        return self.head(torch.cat([x.mean(2), x.amax(2)], 1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = OutlineNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
val_x, val_y = outlines(300)

for step in range(1, 301):
    x, y = outlines(32)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 12 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
