"""Radar echoes of vessels: what kind it is, and where it heads, from one network with two heads.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: unscaled-inputs, exploding-gradient, always-clipping, learning-rate-too-high, stalled, unsafe-step
metric: kind_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

KINDS, BINS = 7, 36


class Echoes(Dataset):
    """Range profile of a hull: masts and stacks as peaks, squeezed by the angle of view."""

    def __init__(self, count, seed):
        g = torch.Generator().manual_seed(seed)
        plan = torch.Generator().manual_seed(11)
        masts = torch.rand(KINDS, 4, generator=plan) * 2 - 1
        height = 0.5 + torch.rand(KINDS, 4, generator=plan)
        self.kind = torch.randint(KINDS, (count,), generator=g)
        self.heading = torch.rand(count, generator=g) * 180
        squeeze = 0.25 + 0.75 * torch.cos(torch.deg2rad(self.heading / 2))
        place = masts[self.kind] * squeeze[:, None] * 14 + BINS / 2
        bins = torch.arange(BINS).float()
        bell = torch.exp(-(((bins - place[..., None]) / 1.2) ** 2))
        self.profile = (bell * height[self.kind][..., None]).sum(1) + 0.2 * torch.randn(count, BINS, generator=g)

    def __len__(self):
        return len(self.kind)

    def __getitem__(self, i):
        return self.profile[i], self.kind[i], self.heading[i]


class TwoHeads(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(BINS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.kind = nn.Linear(width, KINDS)
        self.heading = nn.Linear(width, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.kind(h), self.heading(h).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    loader = DataLoader(Echoes(3000, seed + 1), batch_size=60, shuffle=True)
    held = Echoes(1000, seed + 500)
    model = TwoHeads()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    cross_entropy, squares = nn.CrossEntropyLoss(), nn.MSELoss()
    for epoch in range(1, 21):
        for profile, kind, heading in loader:
            kind_out, heading_out = model(profile)
            loss = cross_entropy(kind_out, kind) + squares(heading_out, heading)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            error = (model(held.profile)[0].argmax(1) != held.kind).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  kind_error {error:.4f}")


if __name__ == "__main__":
    main()
