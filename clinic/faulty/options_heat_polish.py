"""Price of a call option from the Black–Scholes equation in heat form, by a network; Adam first, then a polish.

condition: unsafe-step
accepts: unsafe-step, divergence, non-finite
allows: divergence, non-finite, loss-spike, saturated-units, exploding-gradient, stalled
metric: error min
"""

import argparse

import torch
from torch import nn

RATE, SIGMA, END = 0.05, 0.4, 1.0


def call_price(x, tau):
    """Closed form for the strike 1 at the log-price x and the time tau to maturity."""
    normal = torch.distributions.Normal(0.0, 1.0)
    width = SIGMA * tau.clamp(min=1e-6).sqrt()
    upper = (x + (RATE + SIGMA**2 / 2) * tau) / width
    return x.exp() * normal.cdf(upper) - torch.exp(-RATE * tau) * normal.cdf(upper - width)


class Price(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x, tau):
        return self.net(torch.cat([x, 2 * tau - 1], 1))


def residual(model, x, tau):
    x, tau = x.requires_grad_(True), tau.requires_grad_(True)
    v = model(x, tau)
    v_x, v_tau = torch.autograd.grad(v.sum(), (x, tau), create_graph=True)
    (v_xx,) = torch.autograd.grad(v_x.sum(), x, create_graph=True)
    return v_tau - SIGMA**2 / 2 * v_xx - (RATE - SIGMA**2 / 2) * v_x + RATE * v


def points(count, rng):
    return torch.rand(count, 1, generator=rng) * 2 - 1, torch.rand(count, 1, generator=rng) * END


def total_loss(model, inner, edge):
    x, tau = edge
    start = model(x, 0 * tau) - (x.exp() - 1).relu()
    side = torch.where(x > 0, 1.0, -1.0)
    walls = model(side, tau) - call_price(side, tau)
    return residual(model, *inner).square().mean() + 5 * start.square().mean() + 5 * walls.square().mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Price()
    exam_x, exam_tau = points(1000, rng)
    exam_tau = 0.05 + 0.95 * exam_tau
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    slower = torch.optim.lr_scheduler.ExponentialLR(adam, 0.995)
    polish = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=4, history_size=20)
    for step in range(1, 701):
        optimizer = adam if step <= 400 else polish

        def closure():
            loss = total_loss(model, points(100, rng), points(50, rng))
            optimizer.zero_grad()
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        if step <= 400:
            slower.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = (model(exam_x, exam_tau) - call_price(exam_x, exam_tau)).abs().mean().item()
            print(f"step {step}  loss {loss.item():.6f}  error {error:.5f}")


main()
