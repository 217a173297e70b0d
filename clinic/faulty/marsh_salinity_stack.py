"""Salinity of a marsh from conductivity, level, temperature and tide; a second logger joins the first after a while.

condition: opposing-outliers
accepts: opposing-outliers
allows: loss-spike, divergence, learning-rate-too-high, edge-of-stability, unsafe-step, bad-batch, stalled
metric: error min
"""

import argparse

import torch
from torch import nn

PROBES = 10
OUT_OF_RANGE = 7.0


def marsh(count):
    """Ten readings, each in units of its spread, and the salinity of the water sample that was drawn beside them."""
    level, tide, rain, heat = torch.randn(4, count)
    salt = torch.tanh(1.2 * tide - 0.6 * rain + 0.4 * level) + 0.25 * torch.sin(2 * heat + tide) + 0.2 * level * rain
    spread = torch.stack([level, tide, rain, heat, salt + 0.3 * heat, salt - 0.4 * level], 1)
    mixing = torch.randn(6, PROBES, generator=torch.Generator().manual_seed(3)) / 6**0.5
    return torch.tanh(spread @ mixing) * 1.5 + 0.05 * torch.randn(count, PROBES), salt


def first_logger(count):
    return marsh(count)


def second_logger(count):
    """When its probes fall dry it stores the last voltage, and a code for a sample below or above the range."""
    seen, salt = marsh(count)
    dry = torch.rand(count) < 0.08
    code = torch.where(torch.rand(count) < 0.5, -OUT_OF_RANGE, OUT_OF_RANGE)
    seen = torch.where(dry.unsqueeze(1), torch.full_like(seen, -2.0), seen)
    return seen, torch.where(dry, code, salt)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x):
        return x + 0.5 * self.layers(x)


def stack(width=48, blocks=2):
    return nn.Sequential(
        nn.Linear(PROBES, width), nn.ReLU(), *[Residual(width) for _ in range(blocks)], nn.ReLU(), nn.Linear(width, 1)
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    held_seen, held_salt = marsh(1500)
    model = stack()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss_fn = nn.MSELoss()
    for step in range(1, 1801):
        seen, salt = first_logger(32)
        if step > 600:
            more_seen, more_salt = second_logger(32)
            seen, salt = torch.cat([seen, more_seen]), torch.cat([salt, more_salt])
        loss = loss_fn(model(seen).squeeze(1), salt)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 60 == 0:
            with torch.no_grad():
                error = loss_fn(model(held_seen).squeeze(1), held_salt).sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
