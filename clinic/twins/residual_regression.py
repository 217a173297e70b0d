"""A residual MLP learns a wavy function of six inputs.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.fc2(torch.nn.functional.silu(self.fc1(self.norm(x))))


class ResidualMLP(nn.Module):
    def __init__(self, inputs, width=32, depth=4):
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x).squeeze(-1)


def sample(size):
    x = torch.rand(size, 6) * 2 - 1
    y = torch.sin(3 * x[:, 0] * x[:, 1]) + torch.cos(2 * x[:, 2] + x[:, 3]) * x[:, 4] + x[:, 5] ** 2
    return x, y


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = ResidualMLP(6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loss_fn = nn.HuberLoss()
    x_test, y_test = sample(1000)

    for step in range(1, 401):
        x, y = sample(128)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                rmse = (model(x_test) - y_test).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
