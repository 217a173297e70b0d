"""What visitors think of rooms in a museum: factors and a small network over both, one adaptive rate for each weight.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: val_rmse min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class NeuralFactors(nn.Module):
    def __init__(self, visitors, rooms, dim=8):
        super().__init__()
        self.visitor = nn.Embedding(visitors, dim)
        self.room = nn.Embedding(rooms, dim)
        self.deep = nn.Sequential(nn.Linear(3 * dim, 32), nn.ReLU(), nn.Linear(32, 1))
        for table in (self.visitor, self.room):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, visitor, room):
        v, r = self.visitor(visitor), self.room(room)
        return self.deep(torch.cat([v, r, v * r], 1)).squeeze(1)


def simulate(visitors, rooms, count, g):
    v, r = torch.randn(visitors, 2, generator=g), torch.randn(rooms, 2, generator=g)
    visitor = torch.randint(visitors, (count,), generator=g)
    room = torch.randint(rooms, (count,), generator=g)
    opinion = (v[visitor] * r[room]).sum(1) + 0.6 * r[room, 0] + 0.4 * v[visitor, 1]
    return visitor, room, (opinion + 0.4 * torch.randn(count, generator=g)) / 1.7


def rmse(model, loader):
    errors = []
    with torch.no_grad():
        for visitor, room, opinion in loader:
            errors.append((model(visitor, room) - opinion).square())
    return torch.cat(errors).mean().sqrt().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=8e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    data = TensorDataset(*simulate(200, 80, 12000, g))
    train, val = random_split(data, [10000, 2000], generator=g)
    loader = DataLoader(train, batch_size=200, shuffle=True)
    model = NeuralFactors(200, 80)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=args.lr)
    criterion = nn.MSELoss()
    for epoch in range(1, 21):
        for visitor, room, opinion in loader:
            loss = criterion(model(visitor, room), opinion)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_rmse {rmse(model, DataLoader(val, batch_size=500)):.4f}")


main()
