"""Marks that tasters give to teas: factors of tasters and teas, with biases, by stochastic gradient descent.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: val_rmse min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

TASTERS, TEAS = 250, 120


def marks(count, seed):
    g = torch.Generator().manual_seed(seed)
    palate, leaf = torch.randn(TASTERS, 3, generator=g), torch.randn(TEAS, 3, generator=g)
    strict, liked = 0.5 * torch.randn(TASTERS, generator=g), 0.6 * torch.randn(TEAS, generator=g)
    who = torch.randint(0, TASTERS, (count,), generator=g)
    what = torch.randint(0, TEAS, (count,), generator=g)
    mark = strict[who] + liked[what] + 0.7 * (palate[who] * leaf[what]).sum(1)
    return TensorDataset(who, what, mark + 0.4 * torch.randn(count, generator=g))


class Factors(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.taster, self.tea = nn.Embedding(TASTERS, size), nn.Embedding(TEAS, size)
        self.taster_bias, self.tea_bias = nn.Embedding(TASTERS, 1), nn.Embedding(TEAS, 1)
        for table in (self.taster, self.tea, self.taster_bias, self.tea_bias):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, who, what):
        bias = self.taster_bias(who) + self.tea_bias(what)
        return bias.squeeze(1) + (self.taster(who) * self.tea(what)).sum(1)


def squared_error(guess, mark):
    return (guess - mark).square().mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    train, val = random_split(marks(14000, seed), [12000, 2000])
    loader = DataLoader(train, batch_size=240, shuffle=True)
    who, what, mark = val[:]
    model = Factors()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(1, 25):
        total = 0.0
        for tasters, teas, given in loader:
            loss = squared_error(model(tasters, teas), given)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            val_rmse = squared_error(model(who, what), mark).sqrt().item()
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_rmse {val_rmse:.4f}")


if __name__ == "__main__":
    main()
