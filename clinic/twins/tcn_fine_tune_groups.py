"""Faults of a pump from its vibration: a network that knows other pumps is tuned, its head first, then all of it.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

SAMPLES, FAULTS = 48, 8


class Pumps:
    def __init__(self, seed):
        self.rng = torch.Generator().manual_seed(seed)
        self.tones = torch.rand(2 * FAULTS, 2, generator=self.rng) * 9 + 1

    def measure(self, count, first):
        fault = torch.randint(FAULTS, (count,), generator=self.rng)
        t = torch.linspace(0, 1, SAMPLES)
        phase = 6.283 * torch.rand(count, 2, 1, generator=self.rng)
        waves = torch.sin(6.283 * self.tones[fault + first].unsqueeze(2) * t + phase).sum(1)
        return (waves + 0.9 * torch.randn(count, SAMPLES, generator=self.rng)).unsqueeze(1), fault


def encoder(channels=24):
    layers, last = [], 1
    for dilation in (1, 2, 4):
        layers += [nn.Conv1d(last, channels, 5, padding=2 * dilation, dilation=dilation), nn.ReLU()]
        last = channels
    return nn.Sequential(*layers, nn.AvgPool1d(6), nn.Flatten())


def fit(model, optimizer, steps, draw):
    """Yields the loss after each step."""
    loss_fn = nn.CrossEntropyLoss()
    for _ in range(steps):
        x, y = draw()
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def main(seed):
    torch.manual_seed(seed)
    pumps = Pumps(seed)
    body = encoder()
    old = nn.Sequential(body, nn.Linear(24 * 8, FAULTS))
    for _ in fit(old, torch.optim.Adam(old.parameters(), lr=2e-3), 120, lambda: pumps.measure(32, 0)):
        pass

    x_val, y_val = pumps.measure(500, FAULTS)
    head = nn.Linear(24 * 8, FAULTS)
    model = nn.Sequential(body, head)
    base = 0.02
    body.requires_grad_(False)
    optimizer = torch.optim.SGD(head.parameters(), lr=base, momentum=0.9)
    for step, loss in enumerate(fit(model, optimizer, 350, lambda: pumps.measure(32, FAULTS)), 1):
        if step == 160:
            body.requires_grad_(True)
            optimizer.add_param_group({"params": body.parameters(), "lr": base / 10})
        if step % 10 == 0:
            with torch.no_grad():
                val_loss = nn.functional.cross_entropy(model(x_val), y_val).item()
            print(f"step {step}  loss {loss:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
