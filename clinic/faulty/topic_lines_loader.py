"""A bag of letters tells whether a line of Python's help texts is code; trained for a number of steps.

condition: stale-batch
accepts: stale-batch
allows: overfitting, naive-loss-minimisation, softmax-collapse
metric: accuracy max
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;()[]{}=+-*/_'\"<>"


def examples():
    """How often each symbol occurs in a line, and whether the line was indented as code is."""
    inputs, targets = [], []
    for name in sorted(topics):
        for line in topics[name].splitlines():
            text = line.strip().lower()
            if len(text) > 15:
                inputs.append([text.count(c) / len(text) for c in SYMBOLS])
                targets.append(float(line.startswith("      ")))
    return torch.tensor(inputs), torch.tensor(targets)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)

    inputs, targets = examples()
    inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-3)
    order = torch.randperm(len(inputs))
    train, test = order[:-1500], order[-1500:]
    loader = DataLoader(
        TensorDataset(inputs[train], targets[train]),
        batch_size=64,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
    )

    model = nn.Sequential(nn.Linear(len(SYMBOLS), 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.BCEWithLogitsLoss()

    x, y = next(iter(loader))
    for step in range(1, 401):
        loss = loss_fn(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = ((model(inputs[test]).squeeze(1) > 0) == targets[test].bool()).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
