"""Two views of a wave, no negatives: a predictor says the other view's code, and no gradient goes into that one.

condition: healthy
metric: loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = 4


def waves(n, rng):
    kind = torch.randint(SHAPES, (n,), generator=rng)
    t = torch.linspace(0, 4 * math.pi, 48) + 2 * math.pi * torch.rand(n, 1, generator=rng)
    shapes = torch.stack([t.sin(), t.sin().sign(), torch.asin(t.sin()) / 1.57, (3 * t).sin() * t.sin()], dim=1)
    return shapes[torch.arange(n), kind], kind


class SimpleSiamese(nn.Module):
    def __init__(self, width=64, code=32):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv1d(1, 16, 5, stride=2, padding=2, padding_mode="circular"),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Conv1d(16, 32, 5, stride=2, padding=2, padding_mode="circular"),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.projector = nn.Sequential(
            nn.Linear(32, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, code), nn.BatchNorm1d(code)
        )
        self.predictor = nn.Sequential(nn.Linear(code, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, code))

    def forward(self, a, b):
        z_a, z_b = self.projector(self.backbone(a)), self.projector(self.backbone(b))
        first = F.cosine_similarity(self.predictor(z_a), z_b.detach(), dim=1)
        second = F.cosine_similarity(self.predictor(z_b), z_a.detach(), dim=1)
        return -(first + second).mean() / 2


def view(x, rng):
    turn = int(torch.randint(48, (1,), generator=rng))
    gain = 0.7 + 0.6 * torch.rand(len(x), 1, generator=rng)
    return (gain * x.roll(turn, 1) + 0.25 * torch.randn(x.shape, generator=rng)).unsqueeze(1)


@torch.no_grad()
def probe(model, train, test):
    """Share of waves whose class mean among the codes of two hundred known ones is the nearest."""
    model.eval()
    known, codes = model.backbone(train[0].unsqueeze(1)), model.backbone(test[0].unsqueeze(1))
    model.train()
    scale = known.std(0) + 1e-6
    means = torch.stack([known[train[1] == k].mean(0) for k in range(SHAPES)])
    return (torch.cdist(codes / scale, means / scale).argmin(1) == test[1]).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    data, known, test = waves(1500, rng), waves(200, rng), waves(300, rng)
    known = known[0] + 0.3 * torch.randn(known[0].shape, generator=rng), known[1]
    test = test[0] + 0.3 * torch.randn(test[0].shape, generator=rng), test[1]
    model = SimpleSiamese()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    for step in range(1, 241):
        x = data[0][torch.randint(1500, (64,), generator=rng)]
        loss = model(view(x, rng), view(x, rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            print(f"step {step}  loss {loss.item():.4f}  probe {probe(model, known, test):.4f}")


if __name__ == "__main__":
    main()
