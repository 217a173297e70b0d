"""A denoising network fills in missing readings of a plant's twelve sensors, fed from the plant's log as it comes.

condition: bad-batch
accepts: bad-batch, unscaled-inputs
allows: non-finite, dead-units, loss-spike, divergence, unsafe-step, learning-rate-too-high, exploding-gradient, stalled
metric: val_loss min
"""

import argparse

import torch
from torch import nn

SENSORS = 12


def plant_log(hours, mixing):
    """Standardised readings hour by hour; the collector writes -999 where it had no connection."""
    hidden = torch.tanh(torch.randn(hours, 4))
    return torch.tanh(hidden @ mixing) * 1.5 + 0.1 * torch.randn(hours, SENSORS)


def outage(log, start, hours, sensor):
    log[start : start + hours, sensor : sensor + 3] = -999.0
    return log


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    mixing = torch.randn(4, SENSORS)
    log, clean = plant_log(64 * 900, mixing), plant_log(2000, mixing)
    outage(log, 64 * 420, 64, 5)
    hide = torch.rand(clean.shape) < 0.2
    model = nn.Sequential(nn.Linear(2 * SENSORS, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, SENSORS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def fill(readings, mask):
        return model(torch.cat([readings.masked_fill(mask, 0.0), mask.float()], 1))

    for step, hours in enumerate(log.split(64), start=1):
        mask = torch.rand(hours.shape) < 0.2
        error = (fill(hours, mask) - hours).abs()
        loss = torch.where(error < 1, 0.5 * error**2, error - 0.5)[mask].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = (fill(clean, hide) - clean)[hide].square().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
