"""Growers of wine from thirteen measurements that were taken in a hurry: three bias-free layers, all bottles at once.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn


class BottleNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(13, width, bias=False), nn.Linear(width, width, bias=False), nn.Linear(width, 3, bias=False)]
        )

    def forward(self, x):
        *inner, last = self.layers
        for layer in inner:
            x = F.leaky_relu(layer(x), 0.1)
        return last(x)


def bottles():
    x, y = load_wine(return_X_y=True)
    x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    rng = torch.Generator().manual_seed(11)
    x = x + 0.8 * torch.randn(x.shape, generator=rng)
    order = torch.randperm(len(x), generator=rng)
    return x[order], torch.tensor(y)[order]


def main(seed):
    torch.manual_seed(seed)
    x, y = bottles()
    model = BottleNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=0.06)
    for step in range(1, 1201):
        loss = F.cross_entropy(model(x[:80]), y[:80])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 5:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(x[80:]), y[80:]).item()
            print(f"step {step}  loss {loss.item():.3e}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
