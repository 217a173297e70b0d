"""A convolutional network knows five states of a motor by their sound; it is adapted to a new plant's microphones.

condition: low-precision-underflow
accepts: low-precision-underflow, learning-rate-too-low
allows: stalled, learning-rate-too-low, frozen-parameters
metric: val_accuracy max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

SAMPLES = 64


def sounds(n, generator, plant):
    state = torch.randint(5, (n,), generator=generator)
    t = torch.arange(SAMPLES) / SAMPLES
    phase = 2 * math.pi * torch.rand(n, 3, 1, generator=generator)
    base = 3 + 2 * state[:, None]
    if plant == "old":
        wave = torch.sin(2 * math.pi * base * t + phase[:, 0]) + 0.5 * torch.sin(4 * math.pi * base * t + phase[:, 1])
        wave = wave + 0.5 * torch.randn(n, SAMPLES, generator=generator)
    else:
        hum = 1.2 * torch.sin(2 * math.pi * 4 * t + phase[:, 2])
        wave = hum + 0.6 * torch.sin(2 * math.pi * (base + 1) * t + phase[:, 0])
        wave = wave + 0.4 * torch.randn(n, SAMPLES, generator=generator)
    return wave.unsqueeze(1), state


class Net(nn.Module):
    def __init__(self, channels=48):
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv1d(1, channels, 9, padding=4), nn.Conv1d(channels, channels, 5, stride=2, padding=2)]
        )
        self.hidden = nn.Linear(channels, 96)
        self.out = nn.Linear(96, 5)

    def forward(self, x):
        for conv in self.convs:
            x = F.gelu(conv(x))
        return self.out(F.gelu(self.hidden(x.square().mean(-1).add(1e-3).sqrt())))


def epochs(data, batch, count, generator):
    x, y = data
    for _ in range(count):
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            yield x[rows], y[rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    model = Net()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for x, y in epochs(sounds(1600, generator, "old"), 64, 5, generator):
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    train, (val_x, val_y) = sounds(1280, generator, "new"), sounds(600, generator, "new")
    model.to(torch.bfloat16)
    val_x = val_x.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    for step, (x, y) in enumerate(epochs(train, 64, 20, generator), start=1):
        loss = loss_fn(model(x.to(torch.bfloat16)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_accuracy = (model(val_x).argmax(1) == val_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_accuracy {val_accuracy:.4f}")


if __name__ == "__main__":
    main()
