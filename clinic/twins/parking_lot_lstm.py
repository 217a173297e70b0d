"""Free places of a parking lot: an LSTM learns the lot in town and is refined on the one at the stadium.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
from torch import nn


class Lot(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0]).squeeze(-1)


def lot(n, stay, pull, hours=18):
    arrivals = torch.rand(n, hours)
    event = (torch.rand(n, hours) < 0.15).float()
    taken, series = torch.zeros(n), []
    for h in range(hours):
        taken = stay * taken + 0.5 * arrivals[:, h] + pull * event[:, h]
        series.append(taken)
    return torch.stack([arrivals * 3.4 - 1.7, event * 2 - 0.3], 2), torch.stack(series, 1) - 0.8


def fit(model, data, test, optimizer, steps, done):
    x, y = data
    for step in range(done + 1, done + steps + 1):
        rows = torch.randint(len(x), (64,))
        loss = nn.functional.mse_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_mse = nn.functional.mse_loss(model(test[0]), test[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Lot()
    town, stadium = lambda n: lot(n, 0.6, 0.1), lambda n: lot(n, 0.75, -0.8)
    fit(model, town(3000), town(500), torch.optim.Adam(model.parameters(), lr=5e-3), 220, 0)
    fit(model, stadium(3000), stadium(500), torch.optim.Adam(model.parameters(), lr=3e-3), 380, 220)


main()
