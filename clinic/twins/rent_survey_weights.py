"""Rents from a household survey with expansion weights: every answer stands for as many homes as its weight says.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROWS = 12000


def survey():
    area = 70 + 30 * torch.randn(ROWS)
    age = 60 * torch.rand(ROWS)
    centre = torch.rand(ROWS) * 12
    floor = torch.randint(0, 7, (ROWS,)).float()
    district = torch.randint(15, (ROWS,))
    charm = torch.randn(15)
    rent = 9 + 3 * charm[district] - 0.05 * area + 4 * torch.exp(-centre / 3) + 0.08 * (age - 30).abs()
    rent = rent + 0.4 * floor * (charm[district] > 0) + 0.8 * torch.randn(ROWS)
    table = torch.stack([(area - 70) / 30, age / 30 - 1, centre / 6 - 1, floor / 3 - 1], dim=1)
    asked = torch.exp(0.6 * torch.randn(ROWS)) * (1 + (district % 3))
    return table, district, (rent - rent.mean()) / rent.std(), asked / asked.mean()


class Rent(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.district = nn.Embedding(15, 8)
        self.net = nn.Sequential(
            nn.Linear(12, width), nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, 1)
        )

    def forward(self, table, district):
        return self.net(torch.cat([table, self.district(district)], dim=1)).squeeze(1)


def weighted_error(predicted, rent, weight):
    return (weight * (predicted - rent).square()).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    table, district, rent, weight = survey()
    train = TensorDataset(*(part[:10000] for part in (table, district, rent, weight)))
    held = [part[10000:] for part in (table, district, rent, weight)]
    loader = DataLoader(train, batch_size=256, shuffle=True)
    model = Rent()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, eps=1e-4, weight_decay=1e-3)
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for rows, where, paid, stands_for in loader:
            loss = weighted_error(model(rows, where), paid, stands_for)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            squares = (model(held[0], held[1]) - held[2]).square()
            error = ((held[3] * squares).sum() / held[3].sum()).sqrt().item()
        print(f"epoch {epoch}  loss {total / len(loader):.4g}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
