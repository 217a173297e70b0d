"""Two noisy views of a kitchen's sounds, without labels: predictor and stop-gradient; a probe tells what they are worth.

condition: healthy
metric: probe_accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, SOURCES = 40, 10


def sounds(count, rng):
    source = torch.randint(0, SOURCES, (count,), generator=rng)
    bands = torch.arange(BANDS)
    tone = 3 + 3.5 * source[:, None]
    hum = torch.exp(-0.5 * ((bands - tone) / 1.5) ** 2) + 0.7 * torch.exp(
        -0.5 * ((bands - (tone * 1.7) % BANDS) / 1.5) ** 2
    )
    return 3 * hum, source


def view(clean, rng):
    loud = 0.6 + 0.8 * torch.rand(len(clean), 1, generator=rng)
    kept = (torch.rand(clean.shape, generator=rng) > 0.15).float()
    return loud * clean * kept + 0.6 * torch.randn(clean.shape, generator=rng)


class Siamese(nn.Module):
    def __init__(self, width=96, size=32):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(BANDS, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.BatchNorm1d(width),
            nn.ReLU(), nn.Linear(width, size), nn.BatchNorm1d(size, affine=False),
        )  # fmt: skip
        self.predictor = nn.Sequential(nn.Linear(size, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, size))

    def forward(self, a, b):
        za, zb = self.encoder(a), self.encoder(b)
        agree = lambda z, other: F.cosine_similarity(self.predictor(z), other.detach(), dim=1).mean()
        return -(agree(za, zb) + agree(zb, za)) / 2


@torch.no_grad()
def probe(model, rng):
    """The nearest mean of a class, from 300 labelled sounds, on 500 others."""
    model.eval()
    known, asked = sounds(300, rng), sounds(500, rng)
    a, b = (F.normalize(model.encoder(view(part[0], rng)), dim=1) for part in (known, asked))
    means = torch.stack([a[known[1] == k].mean(0) for k in range(SOURCES)])
    model.train()
    return (torch.cdist(b, F.normalize(means, dim=1)).argmin(1) == asked[1]).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Siamese()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    for step in range(1, 601):
        clean, _ = sounds(128, rng)
        loss = model(view(clean, rng), view(clean, rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 30 == 0:
            print(f"step {step}  loss {loss.item():.4f}  probe_accuracy {probe(model, rng):.4f}")


main()
