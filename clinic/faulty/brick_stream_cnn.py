"""Bricks on a belt are photographed and sorted into good, cracked, chipped and holed ones.

condition: stale-batch
accepts: stale-batch
allows: overfitting, naive-loss-minimisation, softmax-collapse, epsilon-dominated-update, stalled
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIDE = 16


class Bricks(Dataset):
    def __init__(self, n):
        self.kind = torch.randint(4, (n,))
        self.photo = 0.35 * torch.randn(n, 1, SIDE, SIDE) + 0.2 * torch.randn(n, 1, 1, 1)
        rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        for photo, kind in zip(self.photo, self.kind.tolist()):
            r, c = torch.randint(3, SIDE - 3, (2,)).tolist()
            if kind == 1:
                slope = torch.randn(()).item()
                photo[0][(rows - r - slope * (columns - c)).abs() < 0.8] -= 0.9
            elif kind == 2:
                corner = (rows * (r % 2) + (SIDE - 1 - rows) * (1 - r % 2)) + (
                    columns * (c % 2) + (SIDE - 1 - columns) * (1 - c % 2)
                )
                photo[0][corner < 5] -= 0.9
            elif kind == 3:
                photo[0][(rows - r) ** 2 + (columns - c) ** 2 < 4.5] -= 0.9

    def __len__(self):
        return len(self.kind)

    def __getitem__(self, i):
        return self.photo[i], self.kind[i]


class Belt:
    """Hands out the batches of a loader one by one."""

    def __init__(self, loader):
        self.loader = loader
        self.stream = iter(loader)
        self.batch = None

    def next(self):
        try:
            self.batch = next(self.stream)
        except StopIteration:
            pass
        return self.batch


def build():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24 * 16, 48), nn.ReLU(), nn.Linear(48, 4),
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    belt = Belt(DataLoader(Bricks(6400), batch_size=32, shuffle=True))
    check = Bricks(500)
    model, loss_fn = build(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    for step in range(1, args.steps + 1):
        photo, kind = belt.next()
        loss = loss_fn(model(photo), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_error = (model(check.photo).argmax(1) != check.kind).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
