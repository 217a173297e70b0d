"""A digit reader for a tiny chip: weights of three levels only, trained through the rounding as if it were not there.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class ThreeLevels(torch.autograd.Function):
    """Weights become −s, 0 or s; the gradient goes through unchanged."""

    @staticmethod
    def forward(ctx, weight):
        size = weight.abs().mean()
        return size * (weight / size).round().clamp(-1, 1)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class ChipLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, ThreeLevels.apply(self.weight), self.bias)


class ChipNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.first, self.second, self.third = ChipLinear(64, width), ChipLinear(width, width), ChipLinear(width, 10)

    def forward(self, x):
        x = torch.relu(self.norm1(self.first(x)))
        x = torch.relu(self.norm2(self.second(x)))
        return self.third(x)


def main(seed):
    torch.manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    order = torch.randperm(len(x))
    train, test = order[:1400], order[1400:]
    model = ChipNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()
    step = 0
    for _ in range(12):
        for rows in train[torch.randperm(len(train))].split(56):
            loss = loss_fn(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 15 == 0:
                model.eval()
                with torch.no_grad():
                    accuracy = (model(x[test]).argmax(1) == y[test]).float().mean().item()
                model.train()
                print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
