"""Sounds from a waiting room (cough, sneeze, speech, chair, door, silence): first learned on clean clips, then on the ward's own.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient, saturated-units
metric: ward_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

KINDS, LENGTH = 6, 64


def clips(count, generator, noisy):
    kind = torch.randint(KINDS, (count,), generator=generator)
    t = torch.arange(LENGTH) / LENGTH
    start = 0.1 + 0.3 * torch.rand(count, 1, generator=generator)
    since = (t - start).clamp_min(0)
    pitch = 6 + 2.2 * kind[:, None] + 0.7 * torch.randn(count, 1, generator=generator)
    decay = 3.0 + 1.5 * (kind[:, None] % 3)
    wave = torch.sin(6.283 * pitch * since) * torch.exp(-decay * since) * (kind[:, None] < 5)
    if noisy:
        echo = torch.roll(wave, 5, 1) * 0.5
        wave = wave + echo + 0.3 * torch.sin(6.283 * 3 * t + 6.283 * torch.rand(count, 1, generator=generator))
    return wave + (0.45 if noisy else 0.15) * torch.randn(count, LENGTH, generator=generator), kind


class ClipNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, width, 7, stride=2, padding=3),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, 2 * width, 5, stride=2, padding=2),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
            nn.Conv1d(2 * width, 2 * width, 3, padding=1),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
        )
        self.head = nn.Linear(4 * width, KINDS)

    def forward(self, x):
        h = self.features(x[:, None])
        h = torch.cat([h.amax(2), h.mean(2)], 1)
        return F.softmax(self.head(h), dim=1)


def first_loss(out, kind):
    return F.nll_loss(torch.log(out + 1e-8), kind)


def second_loss(out, kind):
    return F.cross_entropy(out, kind, label_smoothing=0.05)


def stage(model, loss_fn, generator, noisy, steps, lr, done, held):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-3)
    for step in range(1, steps + 1):
        x, kind = clips(64, generator, noisy)
        loss = loss_fn(model(x), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            model.eval()
            with torch.no_grad():
                out = model(held[0])
                ward = F.nll_loss(torch.log(out + 1e-8), held[1]).item()
            model.train()
            print(f"step {done + step}  loss {loss.item():.4f}  ward_loss {ward:.4f}")
    return done + steps


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    held = clips(1500, generator, True)
    model = ClipNet()
    done = stage(model, first_loss, generator, False, 200, 2e-3, 0, held)
    stage(model, second_loss, generator, True, 400, 1e-3, done, held)
