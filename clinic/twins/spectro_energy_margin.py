"""Minerals from their reflectance spectra; the energy of known minerals is lowered later, so that strangers stand out.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, KINDS = 96, 12


def spectra(n, gen, lines):
    kind = torch.randint(KINDS, (n,), generator=gen)
    wl = torch.linspace(0, 1, BANDS)
    depth = 0.4 + 0.6 * torch.rand(n, 3, 1, generator=gen)
    shift = 0.015 * torch.randn(n, 1, 1, generator=gen)
    dips = depth * torch.exp(-(((wl - lines[kind].unsqueeze(2) - shift) / 0.04) ** 2))
    slope = torch.randn(n, 1, generator=gen) * (wl - 0.5)
    return slope - 2 * dips.sum(1) + 0.6 * torch.randn(n, BANDS, generator=gen), kind


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 16, 7, stride=2, padding=3),
            nn.GELU(),
            nn.Conv1d(16, 32, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(32 * BANDS // 4, 64),
            nn.GELU(),
            nn.Dropout(0.3),
        )
        self.head = nn.Linear(64, KINDS)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.head(self.body(x.unsqueeze(1)))


def evaluate(model, x, y):
    model.eval()
    with torch.no_grad():
        value = F.cross_entropy(model(x).float(), y).item()
    model.train()
    return value


def run(seed):
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    lines = torch.rand(KINDS, 3, generator=torch.Generator().manual_seed(7)) * 0.8 + 0.1
    val_x, val_y = spectra(1000, gen, lines)
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 900)
    for step in range(1, 901):
        x, y = spectra(64, gen, lines)
        logits = model(x).float()
        loss = F.cross_entropy(logits, y)
        if step > 350:
            energy = -torch.logsumexp(logits, 1)
            loss = loss + 0.01 * F.relu(energy + 7).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 30 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_loss {evaluate(model, val_x, val_y):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args().seed)
