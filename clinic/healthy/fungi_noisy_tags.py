"""Edible or not, and which family: mushrooms from a few measurements, with tags from walkers, a third of them wrong.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def mushrooms(count, wrong):
    """Six families; each has its habit of cap, stem, gills, smell and season. Walkers mix up some of them at random."""
    family = torch.randint(6, (count,))
    habit = torch.randn(6, 10, generator=torch.Generator().manual_seed(5))
    bend = torch.randn(6, 10, generator=torch.Generator().manual_seed(6))
    age = torch.randn(count, 1)
    measured = habit[family] + bend[family] * torch.sin(1.5 * age) + 0.6 * torch.randn(count, 10)
    tag = torch.where(torch.rand(count) < wrong, torch.randint(6, (count,)), family)
    return TensorDataset(measured / 1.4, tag)


class ResidualLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x):
        return x + self.outer(torch.nn.functional.gelu(self.inner(self.norm(x))))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = DataLoader(mushrooms(6000, wrong=0.35), batch_size=64, shuffle=True)
measured, family = mushrooms(2000, wrong=0.0).tensors
width = 32
model = nn.Sequential(nn.Linear(10, width), ResidualLayer(width), ResidualLayer(width), nn.Linear(width, 6))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
epochs = 18
warm = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda epoch: (epoch + 0.2) / 3 if epoch < 3 else 1 - (epoch - 3) / (epochs - 3)
)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, epochs + 1):
    total = 0.0
    for x, tag in data:
        loss = loss_fn(model(x), tag)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    warm.step()
    with torch.no_grad():
        error = (model(measured).argmax(1) != family).float().mean().item()
    print(f"epoch {epoch}  loss {total / len(data):.4f}  error {error:.4f}")
