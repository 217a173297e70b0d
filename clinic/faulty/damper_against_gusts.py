"""A damper's law is trained against the worst gusts: the gust network pushes wherever the law misses the force needed.

condition: adversarial-rotation
accepts: adversarial-rotation
allows: divergence, loss-spike, stalled, learning-rate-too-high, loss-term-imbalance
metric: rms min
"""

import argparse

import torch
from torch import nn


def states(n):
    """Displacement, velocity and load of a footbridge; the force that keeps it still is known here."""
    s = torch.randn(n, 3)
    force = torch.sin(1.5 * s[:, 0]) + 0.8 * torch.tanh(s[:, 1]) * s[:, 2] + 0.4 * s[:, 1]
    return s, force


def mlp(width=32):
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    damper, gust = mlp(), mlp()
    opt_damper = torch.optim.Adam(damper.parameters(), lr=1e-3, betas=(0.5, 0.99))
    opt_gust = torch.optim.Adam(gust.parameters(), lr=4e-3, betas=(0.5, 0.99))
    exam, wanted = states(2000)
    energy_price = 0.002
    for step in range(1, 1501):
        s, force = states(128)
        miss = damper(s).squeeze(1) - force
        push = gust(s).squeeze(1)
        work = (push * miss).mean()
        payoff = work - energy_price * push.square().mean()
        opt_damper.zero_grad()
        opt_gust.zero_grad()
        payoff.backward()
        for p in gust.parameters():
            p.grad.neg_()
        opt_damper.step()
        opt_gust.step()
        if step % 60 == 0:
            with torch.no_grad():
                rms = (damper(exam).squeeze(1) - wanted).square().mean().sqrt().item()
            print(f"step {step}  payoff {payoff.item():.4f}  rms {rms:.4f}")


if __name__ == "__main__":
    main()
