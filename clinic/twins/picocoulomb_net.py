"""The charge that a falling drop carries away from a nozzle, from voltage, flow and humidity.

condition: healthy
metric: relative_error min
"""

import argparse

import torch
from torch import nn


def drops(count, generator):
    """Charge in nanocoulomb: grows with the voltage, saturates, leaks off in moist air."""
    volt = 4 * torch.rand(count, generator=generator) - 2
    flow = torch.rand(count, generator=generator)
    moist = torch.rand(count, generator=generator)
    temperature = torch.randn(count, generator=generator)
    field = torch.tanh(1.3 * volt) * (1 + 0.3 * torch.sin(3 * flow))
    charge = 2 * field * torch.exp(-1.5 * moist * (1 + 0.2 * temperature)) + 0.5 * volt * flow
    x = torch.stack([volt, 2 * flow - 1, 2 * moist - 1, temperature], 1)
    return x, charge + 0.02 * torch.randn(count, generator=generator)


class DropNet(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.body(x)).squeeze(1)


def relative_error(model, x, y):
    with torch.no_grad():
        return ((model(x) - y).pow(2).mean().sqrt() / y.std()).item()


def train(seed, steps=2400):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = drops(4000, generator)
    x_val, y_val, x, y = x[:800], y[:800], x[800:], y[800:]
    model = DropNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (64,), generator=generator)
        loss = (model(x[rows]) - y[rows]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 100 == 0:
            print(f"step {step}  loss {loss.item():.3e}  relative_error {relative_error(model, x_val, y_val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
