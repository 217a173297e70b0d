"""Three kinds of wine told apart with a margin: a sample whose margin is met asks for nothing any more.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_wine
from torch import nn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    bunch = load_wine()
    order = torch.randperm(len(bunch.target), generator=generator)
    values = torch.tensor(bunch.data, dtype=torch.float32)[order]
    kind = torch.tensor(bunch.target)[order]
    values = (values - values[:120].mean(0)) / values[:120].std(0)
    train, test = slice(0, 120), slice(120, None)

    model = nn.Sequential(nn.Linear(13, 24), nn.Tanh(), nn.Linear(24, 3))
    loss_fn = nn.MultiMarginLoss(margin=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    for step in range(1, arguments.steps + 1):
        rows = torch.randint(120, (24,), generator=generator)
        loss = loss_fn(model(values[train][rows]), kind[train][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(values[test]).argmax(1) == kind[test]).float().mean().item()
                met = (model(values[train]).sort(1, descending=True).values.diff(dim=1)[:, 0] < -0.5).float().mean()
            print(f"step {step:4d}  loss {loss.item():.4f}  met {met.item():.3f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
