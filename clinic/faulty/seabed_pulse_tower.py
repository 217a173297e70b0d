"""Thickness of the mud layer from a sub-bottom profiler's echo, by a tall one-dimensional convolutional network.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: vanishing-gradient, stalled, dead-units, epsilon-dominated-update
metric: rmse min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def echoes(n, gen, samples=64):
    t = torch.arange(samples, dtype=torch.float32)
    bed = 8 + 12 * torch.rand(n, 1, generator=gen)
    mud = 4 + 24 * torch.rand(n, 1, generator=gen)
    strength = 0.7 + 0.6 * torch.rand(n, 2, generator=gen)

    def reflection(at):
        return torch.exp(-(((t - at) / 2.5) ** 2)) * torch.cos(1.6 * (t - at))

    echo = strength[:, :1] * reflection(bed) - 0.7 * strength[:, 1:] * reflection(bed + mud)
    echo = 3 * echo + 0.4 * torch.randn(n, samples, generator=gen)
    return echo.unsqueeze(1), (mud - 16) / 6.9


class Tower(nn.Module):
    def __init__(self, channels=24, floors=8):
        super().__init__()
        layers = [nn.Conv1d(1, channels, 5, padding=2), nn.ReLU()]
        for floor in range(1, floors):
            layers += [nn.Conv1d(channels, channels, 5, padding=2), nn.ReLU()]
            if floor in (2, 4, 6):
                layers.append(nn.MaxPool1d(2))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels * 8, 1)
        self.apply(self.prepare)

    @staticmethod
    def prepare(module):
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)

    def forward(self, echo):
        return self.head(self.body(echo).flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    loader = DataLoader(TensorDataset(*echoes(3200, gen)), batch_size=160, shuffle=True)
    val_x, val_y = echoes(500, gen)
    model = Tower()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    for epoch in range(1, 17):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            rmse = loss_fn(model(val_x), val_y).sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
