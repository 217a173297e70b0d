"""Spots of skin from eight clinics: a convolutional network tells five kinds of them.

condition: healthy
metric: val_accuracy max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset


def spots(count, kinds, tone, g):
    axis = torch.linspace(-1, 1, 14)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    kind = kinds[torch.randint(len(kinds), (count,), generator=g)]
    k = kind.view(-1, 1, 1)
    cx, cy = 0.2 * torch.randn(2, count, 1, 1, generator=g)
    r = ((x - cx) ** 2 + (y - cy) ** 2).sqrt()
    angle = torch.atan2(y - cy, x - cx)
    edge = 0.55 + torch.where(k == 1, 0.15, 0.0) * torch.sin(4 * angle) + torch.where(k == 2, 0.2, 0.0)
    body = torch.sigmoid(10 * (edge - r))
    ring = torch.where(k == 3, 1.0, 0.0) * torch.exp(-30 * (r - 0.35) ** 2)
    grain = torch.where(k == 4, 0.5, 0.0) * torch.randn(count, 14, 14, generator=g) * body
    image = 0.8 * body - ring + grain + tone + 0.15 * torch.randn(count, 14, 14, generator=g)
    return (image - 0.3).unsqueeze(1), kind


class SpotNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GroupNorm(4, 16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.GroupNorm(4, 32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
        )
        self.classify = nn.Linear(288, 5)

    def forward(self, x):
        return self.classify(self.layers(x))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)

# each clinic sends what it is known for
sites = [torch.tensor(k) for k in ([0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [3, 4], [0, 4], [4, 4])]
tones = 0.1 * torch.randn(len(sites), generator=g)
train = ConcatDataset([TensorDataset(*spots(260, kinds, tone, g)) for kinds, tone in zip(sites, tones)])
val_x, val_y = spots(800, torch.arange(5), 0.0, g)
loader = DataLoader(train, batch_size=52, shuffle=True)

model = SpotNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(1, 19):
    total = 0.0
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    with torch.no_grad():
        accuracy = (model(val_x).argmax(1) == val_y).float().mean().item()
    print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_accuracy {accuracy:.4f}")
