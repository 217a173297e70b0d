"""Left or right hand? Imagined movements from a hundred and twenty trials of six electrodes, convolution in time.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

ELECTRODES, SAMPLES = 6, 60


def trials(n, rng):
    """A rhythm that is weaker over one side, of any phase, under a lot of other activity."""
    side = torch.randint(2, (n,), generator=rng)
    t = torch.arange(SAMPLES)
    phase = 2 * math.pi * torch.rand(n, 1, 1, generator=rng)
    weight = torch.tensor([[1.0, 0.7, 0.4, 0.2, 0.1, 0.0]])
    weight = torch.where(side[:, None] == 1, weight, weight.flip(1))
    rhythm = weight[:, :, None] * torch.sin(0.8 * t + phase)
    drift = torch.randn(n, ELECTRODES, SAMPLES, generator=rng).cumsum(2) * 0.15
    noise = torch.randn(n, ELECTRODES, SAMPLES, generator=rng)
    label = torch.where(torch.rand(n, generator=rng) < 0.08, 1 - side, side)
    return rhythm + drift + 1.2 * noise, label


class MotorNet(nn.Module):
    def __init__(self, filters=24):
        super().__init__()
        self.temporal = nn.Conv1d(ELECTRODES, filters, 11)
        self.second = nn.Conv1d(filters, filters, 7)
        self.head = nn.Linear(filters * 11, 2)

    def forward(self, x):
        x = F.elu(self.second(F.elu(self.temporal(x))))
        return self.head(F.avg_pool1d(x, 4).flatten(1))


def jitter(x, rng):
    """Another moment of the trial, other noise, and some electrodes off."""
    x = x.roll(int(torch.randint(-8, 9, (1,), generator=rng)), dims=2)
    keep = (torch.rand(len(x), ELECTRODES, 1, generator=rng) > 0.25).float()
    return keep * (x + 1.2 * torch.randn(x.shape, generator=rng))


def fit(model, train, val, rng, epochs=60):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.3)
    x, y = train
    for epoch in range(1, epochs + 1):
        model.train()
        for rows in torch.randperm(len(x), generator=rng).split(20):
            loss = F.cross_entropy(model(jitter(x[rows], rng)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            scores = model(val[0])
            val_loss = F.cross_entropy(scores, val[1]).item()
            hits = (scores.argmax(1) == val[1]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}  hits {hits:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    fit(MotorNet(), trials(120, rng), trials(300, rng), rng)
