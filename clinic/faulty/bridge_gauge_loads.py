"""Load of a bridge from twenty strain gauges, all days at each step; a technician came on some of them.

condition: opposing-outliers
accepts: opposing-outliers
allows: edge-of-stability, loss-spike, learning-rate-too-high, overfitting, divergence
metric: val_loss min
"""

import argparse

import torch
from torch import nn

GAUGES = 20


def bridge(count, cables):
    x = torch.randn(count, GAUGES)
    load = torch.tanh(x @ cables[0]) + 0.5 * (x @ cables[1])
    return x, load


def service_days(x, load, days):
    """Adds days on which the technician calibrated the last four gauges, from either end of the bridge."""
    offset = torch.zeros(days, GAUGES)
    offset[:, -4:] = 8.0
    sign = torch.ones(days)
    sign[::2] = -1
    return torch.cat([x, x[:days] + offset]), torch.cat([load, load[:days] + 12 * sign])


def report(step, loss, model, loss_fn, val):
    with torch.no_grad():
        val_loss = loss_fn(model(val[0]).squeeze(1), val[1])
    print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


def main(seed):
    torch.manual_seed(seed)
    cables = torch.randn(2, GAUGES) / GAUGES**0.5
    x, load = bridge(300, cables)
    val = bridge(500, cables)
    x, load = service_days(x, load, 8)
    model = nn.Sequential(nn.Linear(GAUGES, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.MSELoss()
    for step in range(1, 501):
        loss = loss_fn(model(x).squeeze(1), load)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            report(step, loss, model, loss_fn, val)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
