"""Do two digits show the same number? A Siamese convolutional network on pairs that are made once, before training.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, unsafe-step, stalled
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class DigitPairs(Dataset):
    """As many pairs of one class as pairs of two classes."""

    def __init__(self, images, labels, rng, count=1000):
        self.images = images
        first = torch.randint(len(labels), (20 * count,), generator=rng)
        second = torch.randint(len(labels), (20 * count,), generator=rng)
        same = labels[first] == labels[second]
        keep = torch.cat([same.nonzero()[:count, 0], (~same).nonzero()[:count, 0]])
        self.pairs = torch.stack([first, second], dim=1)[keep]
        self.same = same[keep].float()

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        a, b = self.pairs[i]
        return {"a": self.images[a], "b": self.images[b], "same": self.same[i]}


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1, stride=2)
        self.embed = nn.Linear(24 * 16, 32)
        self.compare = nn.Linear(32, 1)

    def encode(self, image):
        return self.embed(F.relu(self.conv2(F.relu(self.conv1(image)))).flatten(1))

    def forward(self, a, b):
        return self.compare((self.encode(a) - self.encode(b)).abs()).squeeze(1)


@torch.no_grad()
def evaluate(model, loader):
    hits = [((model(p["a"], p["b"]) > 0) == p["same"].bool()).float() for p in loader]
    return torch.cat(hits).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images = images.float().view(-1, 1, 8, 8) / 16
    train = DigitPairs(images[:1300], labels[:1300], rng)
    test = DigitPairs(images[1300:], labels[1300:], rng, count=150)
    loader = DataLoader(train, batch_size=40)
    test_loader = DataLoader(test, batch_size=300)

    model = Siamese()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, 17):
        for pair in loader:
            loss = F.binary_cross_entropy_with_logits(model(pair["a"], pair["b"]), pair["same"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {evaluate(model, test_loader):.4f}")


if __name__ == "__main__":
    main()
