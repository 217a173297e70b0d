"""One network for three outputs of a turbine stage: temperature (K), pressure (kPa) and efficiency.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled, learning-rate-too-low, unscaled-inputs, epsilon-dominated-update
metric: deviation min
"""

import argparse

import torch
from torch import nn


def stage_runs(count, generator):
    """Flow, speed, angle, inlet state and clearance in standard units, and what the stage makes of them."""
    x = torch.randn(count, 7, generator=generator)
    temperature = 900 + 60 * x[:, 0] - 25 * x[:, 1] + 12 * x[:, 0] * x[:, 1] + 10 * torch.sin(2 * x[:, 2])
    pressure = 420 + 35 * x[:, 1] + 20 * x[:, 3] - 8 * x[:, 3] ** 2
    efficiency = 0.86 - 0.04 * (x[:, 4] - 0.5 * x[:, 5]) ** 2 + 0.03 * torch.sin(1.5 * x[:, 5] + x[:, 6])
    outputs = torch.stack([temperature, pressure, efficiency], 1)
    noise = torch.tensor([2.0, 1.5, 0.003]) * torch.randn(count, 3, generator=generator)
    return x, outputs + noise


class StageNet(nn.Module):
    """Predicts in standard units and returns the physical ones."""

    def __init__(self, centre, spread, width=64):
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        self.net = nn.Sequential(
            nn.Linear(7, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3)
        )

    def forward(self, x):
        return self.centre + self.spread * self.net(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    x, outputs = stage_runs(4000, generator)
    test_x, test_outputs = stage_runs(800, generator)
    centre, spread = outputs.mean(0), outputs.std(0)

    model = StageNet(centre, spread)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=arguments.steps)
    for step in range(1, arguments.steps + 1):
        rows = torch.randint(len(x), (64,), generator=generator)
        loss = loss_fn(model(x[rows]), outputs[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 30 == 0:
            with torch.no_grad():
                error = ((model(test_x) - test_outputs) / spread).pow(2).mean(0).sqrt()
            print(
                f"step {step:4d}  loss {loss.item():.4g}  temperature {error[0]:.3f}  pressure {error[1]:.3f}  "
                f"efficiency {error[2]:.3f}  deviation {error.mean():.4f}"
            )


if __name__ == "__main__":
    main()
