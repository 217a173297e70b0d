"""Does the point of a robot's arm pass a keyhole? Nearly nothing can be seen of it at first; a tanh net, plain SGD.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def poses(count):
    angle = 2 * torch.rand(count, 4) - 1
    inside = torch.sin(3.2 * angle[:, 0]) * torch.sin(3.2 * angle[:, 1]) > 0
    return torch.cat([angle, angle[:, :2] ** 2], 1), inside.float()


class Keyhole(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x):
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x))))).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Keyhole()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_fn = nn.BCEWithLogitsLoss()
    val_x, val_y = poses(600)
    for step in range(1, 801):
        x, y = poses(64)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
