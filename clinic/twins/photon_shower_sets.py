"""Energy of a particle shower from its hits in a calorimeter, mixed precision, small showers first.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn


def showers(count, hits):
    """A primary of some energy and angle makes a core and a halo; dense parts of the calorimeter go blind."""
    energy = torch.rand(count, 1) * 2 - 1
    tilt = torch.rand(count, 1)
    width = (0.35 + 0.25 * tilt - 0.1 * energy).unsqueeze(2)
    place = width * torch.randn(count, hits, 2)
    place[..., 0] += 0.6 * tilt
    deposit = 0.6 * energy + 0.4 * torch.randn(count, hits)
    blind = torch.exp(-place.square().sum(2)) * hits / 800
    deposit = deposit - 1.2 * blind
    seen = torch.cat([place, deposit.unsqueeze(2)], 2)
    return seen, energy + 0.02 * torch.randn(count, 1)


class ShowerNet(nn.Module):
    def __init__(self, width=48, factors=24):
        super().__init__()
        self.hit = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, factors), nn.Softplus())
        self.energy = nn.Sequential(nn.Linear(2 * factors + 1, 48), nn.ReLU(), nn.Linear(48, 1))

    def pool(self, each):
        each = each.float()
        total = each.sum(1)
        pairs = (total * total - (each * each).sum(1)) / each.shape[1] ** 2
        return torch.cat([total / each.shape[1], pairs], 1)

    def forward(self, hits):
        each = self.hit(hits)
        size = torch.full((len(hits), 1), hits.shape[1] / 400)
        return self.energy(torch.cat([self.pool(each), size.to(each.dtype)], 1))


def hits_at(step):
    return 40 if step <= 160 else 120 if step <= 320 else 800


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    held = {count: showers(150, count) for count in (40, 120, 800)}
    model = ShowerNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()

    for step in range(1, 701):
        hits, energy = showers(16, hits_at(step))
        with torch.autocast("cpu", dtype=torch.float16):
            guess = model(hits)
        loss = loss_fn(guess.float(), energy)
        if math.isfinite(loss.item()):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % 35 == 0:
            held_hits, held_energy = held[hits.shape[1]]
            with torch.no_grad():
                error = loss_fn(model(held_hits), held_energy).sqrt().item()
            print(f"step {step}  hits {hits.shape[1]}  error {error:.4f}")


if __name__ == "__main__":
    main()
