"""A network learns the digits 0 to 4; then a new head, and later all of it, goes on with 5 to 9.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6), nn.ReLU())
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.body(x))


def train(model, optimizer, images, labels, steps, report=None):
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, steps + 1):
        rows = torch.randint(len(images), (32,))
        loss = loss_fn(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report and step % 10 == 0:
            report(step, loss)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float() / 16
    old, new = labels < 5, labels >= 5
    new_images, new_labels = images[new], labels[new] - 5

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    train(model, optimizer, images[old], labels[old], steps=200)

    def report(step, loss):
        with torch.no_grad():
            accuracy = (model(new_images[600:]).argmax(1) == new_labels[600:]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")

    # the new head first, on features that stay as they are
    model.head = nn.Linear(6, 5)
    model.body.requires_grad_(False)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=2e-3)
    train(model, optimizer, new_images[:600], new_labels[:600], steps=50, report=report)

    # then everything
    model.body.requires_grad_(True)
    train(model, optimizer, new_images[:600], new_labels[:600], steps=250, report=report)


if __name__ == "__main__":
    main()
