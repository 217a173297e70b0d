"""Digits of postcodes with a small convolutional network and momentum.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient, naive-loss-minimisation
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class PostcodeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * 4, 10)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        return torch.softmax(self.fc(x.flatten(1)), dim=1)


def main(seed):
    torch.manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = torch.tensor(labels)
    order = torch.randperm(len(labels))
    train, val = order[:1400], order[1400:]
    model = PostcodeNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, 19):
        for batch in train[torch.randperm(len(train))].split(50):
            optimizer.zero_grad()
            loss = criterion(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            out = model(images[val])
            hits = (out.argmax(1) == labels[val]).float().mean()
            print(f"epoch {epoch}  val_loss {criterion(out, labels[val]).item():.4f}  accuracy {hits.item():.4f}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    main(cli.parse_args().seed)
