"""Heat demand of buildings from an archive that grows by a month of readings at a time, by whole-archive descent.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn

PER_MONTH = 60


def readings(count, generator):
    """Eight standardised readings of weather and building; the demand is smooth but not linear in them."""
    inputs = torch.randn(count, 8, generator=generator)
    cold = torch.nn.functional.softplus(2 * inputs[:, 0] - inputs[:, 1])
    leak = torch.sin(1.5 * inputs[:, 2]) * inputs[:, 3]
    demand = cold + leak + 0.5 * inputs[:, 4] - 0.3 * inputs[:, 5] * inputs[:, 0]
    return inputs, demand - 1.0 + 0.1 * torch.randn(count, generator=generator)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--months", type=int, default=30)
    parser.add_argument("--steps-per-month", type=int, default=40)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    inputs, demand = readings(PER_MONTH * arguments.months, generator)
    test_inputs, test_demand = readings(500, generator)

    model = nn.Sequential(
        nn.Linear(8, 64), nn.Softplus(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0)
    )
    loss_fn = nn.HuberLoss(reduction="sum", delta=3.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    step = 0
    for month in range(1, arguments.months + 1):
        known = slice(0, month * PER_MONTH)
        for _ in range(arguments.steps_per_month):
            loss = loss_fn(model(inputs[known]), demand[known]) / (month * PER_MONTH)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 20 == 0:
                with torch.no_grad():
                    rmse = (model(test_inputs) - test_demand).pow(2).mean().sqrt().item()
                print(f"step {step:4d}  month {month:2d}  loss {loss.item():.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
