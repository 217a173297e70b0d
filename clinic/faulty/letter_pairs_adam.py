"""A residual network decides whether two scribbled digits, side by side, are equal; the rate follows half a cosine.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-high
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


def pairs_of(images, labels, count, generator):
    left = torch.randint(len(images), (count,), generator=generator)
    right = torch.randint(len(images), (count,), generator=generator)
    equal = torch.rand(count, generator=generator) < 0.5
    kinds = [torch.nonzero(labels == k).flatten() for k in range(10)]
    start = torch.rand(count, generator=generator)
    twin = [kinds[k][int(s * len(kinds[k]))] for k, s in zip(labels[left].tolist(), start.tolist())]
    right = torch.where(equal, torch.stack(twin), right)
    both = torch.cat([images[left], images[right]], -1)
    return both + 0.4 * torch.randn(both.shape, generator=generator), (labels[left] == labels[right]).float()


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


class PairNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.inp = nn.Linear(64, width)
        self.body = nn.Sequential(Residual(width), Residual(width))
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, x):
        a = self.body(self.inp(x[:, :, :8].flatten(1)))
        b = self.body(self.inp(x[:, :, 8:].flatten(1)))
        return self.out(torch.cat([a * b, (a - b).abs()], 1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 8 - 1
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=generator)
    train, test = order[:1300], order[1300:]
    held = pairs_of(images[test], labels[test], 2000, generator)

    epochs, per_epoch, accumulate = 20, 25, 2
    model, loss_fn = PairNet(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * per_epoch)
    for epoch in range(1, epochs + 1):
        for step in range(per_epoch):
            optimizer.zero_grad()
            for _ in range(accumulate):
                x, y = pairs_of(images[train], labels[train], 64, generator)
                loss = loss_fn(model(x), y)
                (loss / accumulate).backward()
                scheduler.step()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        with torch.no_grad():
            val = loss_fn(model(held[0]), held[1]).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val:.4f}")


if __name__ == "__main__":
    main()
