"""Crickets by their chirps: an encoder from a species-rich collection is tuned to the crickets of one meadow, layer by layer.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

PULSES, FEATURES = 12, 4


def chirps(species, table, generator):
    """A chirp is a row of pulses, each with length, gap, pitch and loudness."""
    n = len(species)
    base = table[species]
    k = torch.arange(PULSES).float() / PULSES
    rhythm = torch.sin(6.283 * (base[:, :4, None] * 1.5 + 1) * k + base[:, 4:8, None] * 2)
    x = rhythm.transpose(1, 2) * torch.tanh(base[:, None, 8:12]) * 1.5
    return x + 0.8 * torch.randn(n, PULSES, FEATURES, generator=generator)


class Encoder(nn.Module):
    def __init__(self, kinds, width=32, depth=3):
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.place = nn.Parameter(0.1 * torch.randn(PULSES, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, kinds)

    def forward(self, x):
        h = self.embed(x) + self.place
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h).mean(1))


def groups(model, lr, decay):
    """Layer-wise rates: the head learns at lr, each layer below at a fraction of the one above."""
    out = [{"params": [*model.head.parameters(), *model.norm.parameters()], "lr": lr}]
    for height, block in enumerate(reversed(model.blocks), 1):
        out.append({"params": list(block.parameters()), "lr": lr * decay**height})
    last = lr * decay ** (len(model.blocks) + 1)
    out.append({"params": [*model.embed.parameters(), model.place], "lr": last})
    return out


def fit(model, table, optimizer, steps, generator, report=None):
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1) / 20) * (1 - 0.9 * s / steps))
    for step in range(1, steps + 1):
        species = torch.randint(len(table), (48,), generator=generator)
        loss = F.cross_entropy(model(chirps(species, table, generator)), species)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report and step % 15 == 0:
            report(step, loss.item())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    field_book = torch.Generator().manual_seed(3)
    collection, meadow = torch.randn(20, 12, generator=field_book), torch.randn(12, 12, generator=field_book)
    model = Encoder(20)
    fit(model, collection, torch.optim.AdamW(model.parameters(), lr=2e-3), 150, generator)
    model.head = nn.Linear(32, 12)
    held = torch.arange(12).repeat(80)
    x_held = chirps(held, meadow, generator)

    def report(step, loss):
        with torch.no_grad():
            val = F.cross_entropy(model(x_held), held).item()
        print(f"step {step}  loss {loss:.4f}  val_loss {val:.4f}")

    fit(model, meadow, torch.optim.AdamW(groups(model, 1e-3, 0.45), weight_decay=0.01), 300, generator, report)


if __name__ == "__main__":
    main()
