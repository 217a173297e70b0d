"""Four kinds of lichen on a handful of photographs per kind.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def photos(n, seed):
    """Each kind has its own grain and colour cast; stones and light differ a lot from photo to photo."""
    g = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, 4, (n,), generator=g)
    coarse = F.interpolate(torch.randn(n, 1, 4, 4, generator=g), 16, mode="bilinear", align_corners=False)
    fine = F.avg_pool2d(torch.randn(n, 1, 17, 17, generator=g), 2, 1)
    grain = torch.where((kind % 2 == 0).view(-1, 1, 1, 1), coarse, 1.3 * fine)
    cast = torch.tensor([[0.3, 0.0, -0.3], [0.3, 0.0, -0.3], [-0.3, 0.1, 0.2], [-0.3, 0.1, 0.2]])[kind]
    light = 0.25 * torch.randn(n, 3, generator=g) + cast
    return 0.8 * grain + light.view(n, 3, 1, 1) + 0.8 * torch.randn(n, 3, 16, 16, generator=g), kind


def vary(x):
    if torch.rand(()) < 0.5:
        x = x.flip(3)
    x = torch.roll(x, tuple(torch.randint(0, 16, (2,)).tolist()), dims=(2, 3)).rot90(int(torch.randint(4, ())), (2, 3))
    return x + 0.2 * torch.randn(len(x), 3, 1, 1) + 0.4 * torch.randn_like(x)


class LichenNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.c1 = nn.Conv2d(3, width, 3, padding=1)
        self.c2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.fc1 = nn.Linear(2 * width, 128)
        self.fc2 = nn.Linear(128, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.mean((2, 3)))))


class Trainer:
    def __init__(self, model, train, val):
        self.model, self.train_set, self.val_set = model, train, val
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)

    def epoch(self):
        x, y = self.train_set
        total = 0.0
        for rows in torch.randperm(len(x)).split(16):
            batch = vary(x[rows])
            loss = F.cross_entropy(self.model(batch), y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(rows) / len(x)
        return total

    def fit(self, epochs):
        for n in range(1, epochs + 1):
            train_loss = self.epoch()
            if n % 4 == 0:
                with torch.no_grad():
                    out = self.model(self.val_set[0])
                val_loss = F.cross_entropy(out, self.val_set[1]).item()
                print(f"epoch {n}  train_loss {train_loss:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    Trainer(LichenNet(), photos(100, 10 * seed + 1), photos(500, 10 * seed + 2)).fit(100)
