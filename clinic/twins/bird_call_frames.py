"""Birds by their calls: a 1-D CNN on spectral frames, tuned to a new recorder with smaller rates for earlier layers.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

BANDS, FRAMES, SPECIES = 24, 30, 9


class Field:
    """Calls are two sweeping tones; a recorder passes the bands in its own way."""

    def __init__(self, rng):
        self.rng = rng
        k = torch.arange(SPECIES)
        self.start, self.slope, self.gap = (
            6 + 5 * torch.sin(2.1 * k),
            4 * torch.cos(1.3 * k),
            4 + 3 * torch.sin(0.7 * k + 1),
        )

    def calls(self, count, recorder):
        species = torch.randint(0, SPECIES, (count,), generator=self.rng)
        t = torch.linspace(0, 1, FRAMES) + 0.3 * torch.rand(count, 1, generator=self.rng)
        low = self.start[species, None] + self.slope[species, None] * torch.sin(4 * t)
        bands = torch.arange(BANDS)[:, None]
        sound = sum(torch.exp(-0.5 * (bands - tone[:, None]) ** 2) for tone in (low, low + self.gap[species, None]))
        sound = 2 * sound + 1.4 * torch.randn(sound.shape, generator=self.rng)
        if recorder == "new":
            sound = sound[:, torch.arange(BANDS).view(6, 4).T.flatten()] * torch.where(
                torch.arange(BANDS)[:, None] % 3 > 0, 1.0, -1.0
            )
        return sound, species


def evaluate(net, data):
    with torch.no_grad():
        return (net(data[0]).argmax(1) == data[1]).float().mean().item()


def main(seed, rate=1.5e-3, fade=0.3):
    torch.manual_seed(seed)
    field = Field(torch.Generator().manual_seed(seed))
    net = nn.Sequential(
        nn.Sequential(nn.Conv1d(BANDS, 32, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2)),
        nn.Sequential(nn.Conv1d(32, 32, 5, padding=2), nn.ReLU(), nn.AdaptiveMaxPool1d(3), nn.Flatten()),
        nn.Linear(96, SPECIES),
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    tests = {name: field.calls(500, name) for name in ("old", "new")}
    for step in range(1, 651):
        recorder = "old" if step <= 250 else "new"
        if step == 251:
            layers = list(net)[::-1]
            rates = [rate * fade**depth for depth in range(len(layers))]
            optimizer = torch.optim.Adam([{"params": a.parameters(), "lr": b} for a, b in zip(layers, rates)])
            anneal = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 400)
        sound, species = field.calls(48, recorder)
        loss = loss_fn(net(sound), species)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step > 250:
            anneal.step()
        if step % 25 == 0:
            print(f"step {step}  {recorder}  loss {loss.item():.4f}  accuracy {evaluate(net, tests[recorder]):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
