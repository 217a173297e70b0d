"""A network ranks the days of a bakery by its sales; what counts is the correlation within each bakery.

Bakeries join the chain over the months, so that the later ones have few days in a batch.

condition: non-finite
accepts: non-finite, bad-batch
allows: exploding-gradient, unsafe-step, divergence, loss-spike
metric: correlation max
"""

import argparse

import torch
from torch import nn

BAKERIES = 24


def sales_days(count, opened, generator):
    """Days with weather, weekday, season and holiday; a bakery in the chain for longer has more of them."""
    age = torch.clamp(opened - torch.arange(BAKERIES), min=0).float()
    bakery = torch.multinomial(age, count, replacement=True, generator=generator)
    day = torch.randn(count, 6, generator=generator)
    taste = torch.sin(day[:, 0] * 1.5) + 0.7 * day[:, 1] * (day[:, 2] > 0) - 0.5 * day[:, 3].abs()
    size = 50 + 10.0 * bakery
    return day, bakery, size * (1 + 0.2 * taste + 0.06 * torch.randn(count, generator=generator))


class DayScorer(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, 1))

    def forward(self, day):
        return self.net(day).squeeze(1)


def standardise(values):
    return (values - values.mean()) / values.std()


def correlation_loss(score, sales, bakery):
    terms = []
    for one in bakery.unique():
        rows = bakery == one
        terms.append(1 - (standardise(score[rows]) * standardise(sales[rows])).mean())
    return torch.stack(terms).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    test_day, test_bakery, test_sales = sales_days(3000, BAKERIES, generator)

    model = DayScorer()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    for step in range(1, arguments.steps + 1):
        opened = 2 if step <= 250 else min(BAKERIES, 2 + (step - 200) // 50)
        day, bakery, sales = sales_days(96, opened, generator)
        loss = correlation_loss(model(day), sales, bakery)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                score = model(test_day)
                each = [
                    torch.corrcoef(torch.stack([score[test_bakery == b], test_sales[test_bakery == b]]))[0, 1]
                    for b in range(8)
                ]
            print(f"step {step:4d}  loss {loss.item():.4f}  correlation {torch.stack(each).mean().item():.4f}")


if __name__ == "__main__":
    main()
