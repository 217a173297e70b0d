"""Digits come two kinds at a time, as tasks; a small memory of earlier ones is mixed into each batch.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Memory:
    """Keeps some rows of each task that is over."""

    def __init__(self, keep=70):
        self.keep, self.x, self.y = keep, [], []

    def add(self, x, y):
        rows = torch.randperm(len(x))[: self.keep]
        self.x.append(x[rows])
        self.y.append(y[rows])

    def draw(self, count):
        x, y = torch.cat(self.x), torch.cat(self.y)
        rows = torch.randint(len(x), (count,))
        return x[rows], y[rows]


def digits():
    data = load_digits()
    order = torch.randperm(1797)
    x, y = torch.tensor(data.data, dtype=torch.float32)[order] / 8 - 1, torch.tensor(data.target)[order]
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def main(seed):
    torch.manual_seed(seed)
    (x, y), (x_test, y_test) = digits()
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    memory = Memory()
    step = 0
    for task in range(5):
        rows = (y // 2 == task).nonzero().squeeze(1)
        for _ in range(100):
            batch = rows[torch.randint(len(rows), (24,))]
            inputs, labels = x[batch], y[batch]
            if task:
                old_inputs, old_labels = memory.draw(24)
                inputs, labels = torch.cat([inputs, old_inputs]), torch.cat([labels, old_labels])
            loss = loss_fn(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 20 == 0:
                with torch.no_grad():
                    accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
                print(f"step {step}  task {task}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
        memory.add(x[rows], y[rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
