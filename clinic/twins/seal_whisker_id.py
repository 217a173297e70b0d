"""Which seal is it? A cosine classifier on the pattern of the whiskers' spots, with a scale of its own.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEALS, SPOTS = 24, 14


class Colony:
    def __init__(self, rng):
        self.rng = rng
        self.spots = torch.rand(SEALS, SPOTS, 2, generator=rng)

    def photos(self, each):
        """A map of 12 by 12 with the seal's spots; each is seen a bit elsewhere, some are hidden."""
        seal = torch.arange(SEALS).repeat_interleave(each)
        at = self.spots[seal] + 0.035 * torch.randn(len(seal), SPOTS, 2, generator=self.rng)
        at = at + 0.06 * torch.randn(len(seal), 1, 2, generator=self.rng)
        seen = (torch.rand(len(seal), SPOTS, generator=self.rng) > 0.3).float()
        grid = torch.linspace(0, 1, 12)
        row = torch.exp(-((grid - at[:, :, :1]) ** 2) / 0.006)
        column = torch.exp(-((grid - at[:, :, 1:]) ** 2) / 0.006)
        picture = torch.einsum("ns,nsi,nsj->nij", seen, row, column)
        return 1.5 * picture - 0.8 + 0.4 * torch.randn(picture.shape, generator=self.rng), seal


class CosineNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(144, 160), nn.ReLU(), nn.Dropout(0.2), nn.Linear(160, width))
        self.seals = nn.Parameter(torch.randn(SEALS, width))
        self.scale = nn.Parameter(torch.tensor(8.0), requires_grad=False)

    def forward(self, picture):
        return self.scale * F.normalize(self.body(picture), dim=1) @ F.normalize(self.seals, dim=1).T


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    colony = Colony(torch.Generator().manual_seed(seed))
    train, (val_x, val_y) = TensorDataset(*colony.photos(25)), colony.photos(25)
    loader = DataLoader(train, batch_size=40, shuffle=True)
    model = CosineNet()
    optimizer = torch.optim.AdamW(
        [
            {"params": [*model.body.parameters(), model.seals], "lr": 1e-3, "weight_decay": 0.05},
            {"params": [model.scale], "lr": 0.1, "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 40)
    for epoch in range(1, 41):
        model.train()
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            val_nll = F.cross_entropy(model(val_x), val_y).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


main()
