"""A GRU counts the syllables in a gecko's call, in float16 autocast with a gradient scaler that starts high.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


def calls(count, generator, length=60):
    syllables = torch.randint(1, 8, (count,), generator=generator)
    track = torch.zeros(count, length)
    t = torch.arange(length).float()
    for i in range(7):
        centre = 3 + 7.5 * i + 2 * torch.rand(count, 1, generator=generator)
        loud = 0.7 + 0.6 * torch.rand(count, 1, generator=generator)
        track = track + loud * torch.exp(-(((t - centre) / 1.2) ** 2)) * (syllables[:, None] > i)
    shift = torch.randint(0, 6, (1,), generator=generator).item()
    track = torch.roll(track, shift, 1) + 0.15 * torch.randn(count, length, generator=generator)
    return track[..., None], syllables.float()


class Counter(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        h, _ = self.gru(x)
        with torch.autocast("cpu", dtype=torch.float16):
            return self.out(h[:, -1]).squeeze(1).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x_val, y_val = calls(600, generator)
    model = Counter()
    loss_fn = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=150)
    steps = 450
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, s / 30) * (1 - s / (steps + 60)))
    for step in range(1, steps + 1):
        x, y = calls(48, generator)
        loss = loss_fn(model(x), (y - 4) / 2)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() >= before:
            scheduler.step()
        if step % 25 == 0:
            with torch.no_grad():
                error = (model(x_val) * 2 + 4 - y_val).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
