"""Digits cut, shifted and dimmed at random for a small CNN; only sixty digits are there for validation.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Distorted(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = torch.roll(self.images[i], tuple(torch.randint(-1, 2, (2,)).tolist()), (0, 1)).clone()
        row, column = torch.randint(0, 6, (2,)).tolist()
        image[row : row + 3, column : column + 3] = 0.0
        return image.unsqueeze(0) * (0.4 + 0.6 * torch.rand(())), self.labels[i]


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(24 * 16, 10)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.fc(self.dropout(x.flatten(1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).view(-1, 8, 8) / 16
    labels = torch.tensor(labels)
    order = torch.randperm(len(labels))
    held, kept = order[:60], order[60:860]
    loader = DataLoader(Distorted(images[kept], labels[kept]), batch_size=32, shuffle=True)

    model = SmallCNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    for epoch in range(1, 17):
        model.train()
        total = 0.0
        for image, label in loader:
            loss = F.cross_entropy(model(image), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / len(loader)
        model.eval()
        with torch.no_grad():
            val_loss = F.cross_entropy(model(images[held].unsqueeze(1)), labels[held]).item()
        print(f"epoch {epoch}  train {total:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
