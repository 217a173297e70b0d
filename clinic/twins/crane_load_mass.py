"""Mass on a crane's hook from eight gauges; the network is made deeper after a first stage.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.kaiming_normal_(self.up.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, h):
        return h + self.down(torch.relu(self.up(h)))


class Crane(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(8, width), nn.ReLU())
        self.blocks = nn.Sequential()
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.blocks(self.stem(x))).squeeze(1)


def lifts(n):
    x = torch.randn(n, 8)
    y = torch.sin(1.5 * x[:, 0] + x[:, 1]) + x[:, 2] * torch.tanh(x[:, 3]) + 0.4 * x[:, 4:].norm(dim=1)
    return x, y - 0.75 + 0.1 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = lifts(10000)
    val_x, val_y = lifts(1500)
    model = Crane()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, 1001):
        if step == 401:
            for _ in range(8):
                model.blocks.append(Block(40))
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        rows = torch.randint(len(x), (128,))
        loss = F.mse_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
