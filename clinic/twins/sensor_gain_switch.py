"""Where a steel sheet was struck, from four strain sensors: the net goes on learning while the line runs, and the operators
set the amplifier to whatever range the current product asks for.

condition: healthy
metric: miss_cm min
"""

import argparse

import torch
from torch import nn

SENSORS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
SHIFTS = [(450, 1.0), (1500, 600.0)]


def strikes(n, gain, g):
    """Amplitude and first-arrival phase at each of the four corners."""
    place = torch.rand(n, 2, generator=g)
    distance = (place[:, None] - SENSORS).norm(dim=-1)
    force = 0.7 + 0.6 * torch.rand(n, 1, generator=g)
    amplitude = force * torch.exp(-1.5 * distance)
    signal = torch.cat([amplitude * torch.cos(4 * distance), amplitude * torch.sin(4 * distance)], 1)
    signal = signal + 0.01 * torch.randn(n, 8, generator=g)
    return gain * signal / 0.35, place


class Locator(nn.Module):
    def __init__(self, units=48):
        super().__init__()
        self.first = nn.Linear(8, units)
        self.second = nn.Linear(units, units)
        self.third = nn.Linear(units, units)
        self.place = nn.Linear(units, 2)

    def forward(self, signal):
        h = torch.tanh(self.first(signal))
        h = torch.tanh(self.second(h))
        h = torch.tanh(self.third(h))
        return self.place(h)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    seed = cli.parse_args().seed
    torch.manual_seed(seed)
    line = torch.Generator().manual_seed(seed)
    model = Locator()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9985)
    loss_fn = nn.SmoothL1Loss(beta=0.1)
    step = 0
    for until, gain in SHIFTS:
        checks, truth = strikes(500, 1.0, torch.Generator().manual_seed(99))
        while step < until:
            step += 1
            signal, place = strikes(64, gain, line)
            signal = signal / gain
            optimizer.zero_grad()
            loss = loss_fn(model(signal), place)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                with torch.no_grad():
                    miss = (model(checks) - truth).norm(dim=1).mean().item() * 100
                print(f"step {step}  range {gain:g}  loss {loss.item():.5f}  miss_cm {miss:.3f}")


if __name__ == "__main__":
    main()
