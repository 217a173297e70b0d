"""Who is on the photo: a convolutional trunk learns with its head, then rests, and the head goes on with what it saw.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def folders():
    """One folder for each animal, listed by name as a walk over the disk gives them."""
    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float().view(-1, 1, 8, 8) / 8 - 1
    images = images + 0.5 * torch.randn(images.shape)
    mixed = torch.randperm(len(images))
    train, test = mixed[:1300], mixed[1300:]
    train = train[labels[train].argsort(stable=True)]
    return TensorDataset(images[train], labels[train]), images[test], labels[test]


def accuracy(trunk, head, images, labels):
    with torch.no_grad():
        return (head(trunk(images)).argmax(1) == labels).float().mean().item()


def main(seed):
    torch.manual_seed(seed)
    album, test_x, test_y = folders()
    trunk = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    head = nn.Sequential(nn.Linear(24 * 16, 64), nn.ReLU(), nn.Linear(64, 10))
    loss_fn = nn.CrossEntropyLoss()

    optimizer = torch.optim.SGD([*trunk.parameters(), *head.parameters()], lr=0.03, momentum=0.9)
    for epoch in range(1, 9):
        for x, y in DataLoader(album, batch_size=32, shuffle=True):
            loss = loss_fn(head(trunk(x)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy(trunk, head, test_x, test_y):.4f}")

    trunk.requires_grad_(False)
    with torch.no_grad():
        seen = TensorDataset(torch.cat([trunk(x) for x, _ in DataLoader(album, batch_size=100)]), album.tensors[1])
    loader = DataLoader(seen, batch_size=32, shuffle=True)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-3)
    for epoch in range(9, 20):
        for x, y in loader:
            loss = loss_fn(head(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy(trunk, head, test_x, test_y):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
