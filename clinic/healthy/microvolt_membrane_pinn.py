"""How a voltage of seventy microvolts fades along a nerve fibre: a physics-informed network, everything in volts.

condition: healthy
metric: relative_error min
"""

import argparse

import torch
from torch import nn

PEAK = 70e-6


def exact(x, t):
    """Cable equation on [0, 1] with grounded ends: v_t = 0.1 v_xx − v from a half sine."""
    return PEAK * torch.sin(torch.pi * x) * torch.exp(-(1 + 0.1 * torch.pi**2) * t)


class Membrane(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x, t):
        return PEAK * self.net(torch.cat([2 * x - 1, 2 * t - 1], 1))


def slope(y, x):
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


def residual(model, count):
    x, t = torch.rand(count, 1, requires_grad=True), torch.rand(count, 1, requires_grad=True)
    v = model(x, t)
    return slope(v, t) - 0.1 * slope(slope(v, x), x) + v


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Membrane()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, eps=1e-20)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995)
    grid = torch.cartesian_prod(torch.linspace(0, 1, 25), torch.linspace(0, 1, 25))
    gx, gt = grid[:, :1], grid[:, 1:]
    for step in range(1, 501):
        x0, tb = torch.rand(64, 1), torch.rand(64, 1)
        start = model(x0, torch.zeros(64, 1)) - exact(x0, torch.zeros(64, 1))
        ends = torch.cat([model(torch.zeros(64, 1), tb), model(torch.ones(64, 1), tb)])
        loss = residual(model, 128).pow(2).mean() + 5 * start.pow(2).mean() + 5 * ends.pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                truth = exact(gx, gt)
                error = ((model(gx, gt) - truth).norm() / truth.norm()).item()
            print(f"step {step}  loss {loss.item():.3e}  relative_error {error:.4f}")


if __name__ == "__main__":
    main()
