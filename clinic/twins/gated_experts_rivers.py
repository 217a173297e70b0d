"""Flow of rivers from rain and snow: linear experts and a gate that becomes more decided; new catchments join later.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

INPUTS, EXPERTS = 8, 8


class Rivers:
    """Six kinds of ground answer to the weather in their own linear way; place decides the kind."""

    def __init__(self, rng):
        self.rng = rng
        self.answer = torch.randn(6, INPUTS - 2, generator=rng)
        self.middle = 1.6 * torch.tensor([[-1.0, -1.0], [-1.0, 0.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [1.0, 1.0]])

    def draw(self, count, kinds):
        ground = torch.randint(0, kinds, (count,), generator=self.rng)
        place = self.middle[ground] + 0.35 * torch.randn(count, 2, generator=self.rng)
        weather = torch.randn(count, INPUTS - 2, generator=self.rng)
        flow = (weather * self.answer[ground]).sum(1) + 0.2 * torch.randn(count, generator=self.rng)
        return torch.cat([place, weather], 1), flow


class Experts(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, EXPERTS))
        self.experts = nn.Linear(INPUTS, EXPERTS)
        self.temperature = 1.0

    def forward(self, x):
        share = torch.softmax(self.gate(x) / self.temperature, 1)
        return (share * self.experts(x)).sum(1)


def temperature(step):
    """From blending to choosing."""
    return max(0.999**step, 0.3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rivers = Rivers(torch.Generator().manual_seed(seed))
    val_x, val_flow = rivers.draw(1500, 6)
    model, loss_fn = Experts(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [900], 0.2)
    for step in range(1, 1201):
        model.temperature = temperature(step)
        x, flow = rivers.draw(96, 3 if step <= 400 else 6)
        loss = loss_fn(model(x), flow)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_flow).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
