"""An operator network: from a function at twenty points and a place to its integral up to that place.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

SENSORS = 20


class Tower(nn.Module):
    def __init__(self, size_in, width, size_out):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(size_in, width), nn.Linear(width, width), nn.Linear(width, width)])
        self.out = nn.Linear(width, size_out)
        self.reset()

    def reset(self):
        for layer in self.hidden:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.out(x)


class OperatorNet(nn.Module):
    def __init__(self, width=64, rank=32):
        super().__init__()
        self.branch, self.trunk = Tower(SENSORS, width, rank), Tower(1, width, rank)
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, function, place):
        return (self.branch(function) * self.trunk(place)).sum(1) + self.offset


def draw(count):
    modes = torch.arange(1, 5.0)
    weights = torch.randn(count, 4) / modes
    phase = 6.283 * torch.rand(count, 4)
    grid, place = torch.linspace(0, 1, SENSORS), torch.rand(count, 1)
    function = (weights[:, None] * torch.cos(3.1416 * modes * grid[:, None] + phase[:, None])).sum(2)
    upper, lower = torch.sin(3.1416 * modes * place + phase), torch.sin(phase)
    integral = (weights * (upper - lower) / (3.1416 * modes)).sum(1)
    return function, place, 3 * integral


def main(seed):
    torch.manual_seed(seed)
    model = OperatorNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    val = draw(500)
    for step in range(1, 501):
        function, place, integral = draw(100)
        loss = loss_fn(model(function, place), integral)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val[0], val[1]), val[2]).item()
            print(f"step {step}  loss {loss.item():.5f}  val_loss {val_loss:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
