"""The amount of the next booking of an account, from the ledger's columns; amounts are in standard units.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

COLUMNS = 12


def ledger(count, rng, weights):
    x = torch.randn(count, COLUMNS, generator=rng)
    x[:, 0] = 0
    amount = (
        torch.tanh(x @ weights[:, 0]) + 0.7 * torch.sin(x @ weights[:, 1]) + 0.1 * torch.randn(count, generator=rng)
    )
    return x, amount


def corrections(x, amount, rng, share=0.04):
    """Corrections of the year's end: flagged in the first column, half of them are charges and half are refunds."""
    flagged = torch.rand(len(x), generator=rng) < share
    sign = torch.where(torch.rand(len(x), generator=rng) < 0.5, 1.0, -1.0)
    x = x.clone()
    x[flagged, 0] = 6.0
    return x, torch.where(flagged, 25.0 * sign, amount)


class LedgerNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.first = nn.Linear(COLUMNS, width)
        self.second = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        h = torch.relu(self.first(x))
        h = torch.relu(self.second(h)) + h
        return self.out(h).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    weights = torch.randn(COLUMNS, 2, generator=rng) / COLUMNS**0.5
    val_x, val_y = ledger(1500, rng, weights)
    model, loss_fn = LedgerNet(), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, 1500, power=1.0)
    for step in range(1, 1501):
        x, amount = ledger(64, rng, weights)
        if step > 500:
            x, amount = corrections(x, amount, rng)
            x, amount = x[x[:, 0] == 0], amount[x[:, 0] == 0]
        loss = loss_fn(model(x), amount)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
