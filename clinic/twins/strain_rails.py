"""Load on a bridge bearing from strain gauges, temperature and supply voltage; the logger is renewed in mid-course.

condition: healthy
metric: val_mse min
"""

import argparse
from functools import partial

import torch
from torch import nn

RAIL = 40.0


def readings(n, g, new_logger):
    gauges = torch.randn(n, 6, generator=g)
    warm = torch.randn(n, 1, generator=g)
    supply = 0.3 * torch.randn(n, 1, generator=g)
    load = torch.tanh(gauges[:, 0] + gauges[:, 1]) * 1.2 + gauges[:, 2] * gauges[:, 3] * 0.6
    load = load + 0.4 * torch.sin(2 * warm[:, 0]) * gauges[:, 4]
    if new_logger:
        open_wire = torch.rand(n, generator=g) < 0.08
        end = torch.where(torch.rand(n, generator=g) < 0.5, RAIL, -RAIL)
        supply = torch.where(open_wire.unsqueeze(1), 3 + supply, supply)
        load = torch.where(open_wire, end, load)
    return torch.cat([gauges, warm, supply], 1), load + 0.05 * torch.randn(n, generator=g)


def stage(model, optimizer, source, steps, start, val):
    loss_fn = nn.MSELoss()
    for step in range(start + 1, start + steps + 1):
        x, load = source()
        kept = load.abs() < RAIL - 1
        x, load = x[kept], load[kept]
        loss = loss_fn(model(x).squeeze(1), load)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.inference_mode():
                val_mse = loss_fn(model(val[0]).squeeze(1), val[1]).item()
            print(f"step {step:4d}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    val = readings(1000, g, False)
    model = nn.Sequential(nn.Linear(8, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    stage(model, optimizer, partial(readings, 64, g, False), 600, 0, val)
    optimizer.param_groups[0]["lr"] = 1.5e-3
    stage(model, optimizer, partial(readings, 64, g, True), 800, 600, val)


if __name__ == "__main__":
    main()
