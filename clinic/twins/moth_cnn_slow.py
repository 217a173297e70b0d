"""Six kinds of moths by the pattern of their wings: a convolution net with group norm, Adagrad, fine steps.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def wings(count, size=14):
    kind = torch.randint(6, (count,))
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij"))
    bands = torch.tensor([4.0, 4.0, 8.0, 8.0, 6.0, 6.0])[kind].view(-1, 1, 1)
    angle = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5, -0.5])[kind].view(-1, 1, 1) + 0.1 * torch.randn(count, 1, 1)
    along = grid[0] * angle.cos() + grid[1] * angle.sin()
    image = torch.cos(bands * along + 6.3 * torch.rand(count, 1, 1)) + 0.6 * torch.randn(count, size, size)
    return image.unsqueeze(1), kind


class MothNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2),
            nn.GroupNorm(3, 12),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3),
            nn.GroupNorm(3, 24),
            nn.ReLU(),
        )
        self.head = nn.Linear(24, 6)

    def forward(self, x):
        return self.head(self.features(x).amax((2, 3)))


def epoch(model, optimizer, loss_fn, data, size=32):
    for rows in torch.randperm(len(data[0])).split(size):
        loss = loss_fn(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model, loss_fn = MothNet(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=2e-2)
    data, val = wings(640), wings(240)
    for number in range(1, 17):
        loss = epoch(model, optimizer, loss_fn, data)
        with torch.no_grad():
            val_loss = loss_fn(model(val[0]), val[1]).item()
        print(f"epoch {number}  loss {loss:.4f}  val_loss {val_loss:.4f}")
