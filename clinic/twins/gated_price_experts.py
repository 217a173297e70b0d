"""Flat prices in towns with rules of their own: one expert of several answers for each flat.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def flats(n):
    x = torch.rand(n, 4) * 2 - 1
    town = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    rules = torch.tensor([[1.5, -1.0], [-1.2, 0.8], [0.5, 1.6], [-1.0, -1.4]])
    level = torch.tensor([-1.0, 0.5, 1.0, -0.3])
    price = (rules[town] * x[:, 2:]).sum(1) + level[town]
    return x, (price + 0.05 * torch.randn(n)).unsqueeze(1)


class Experts(nn.Module):
    def __init__(self, experts=6, columns=4):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(columns, 32), nn.ReLU(), nn.Linear(32, experts))
        self.experts = nn.ModuleList(nn.Linear(columns, 1) for _ in range(experts))

    def forward(self, x):
        share = self.gate(x).softmax(1)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        return (answers * share.unsqueeze(2)).sum(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train, val = TensorDataset(*flats(3000)), flats(1000)
    model = Experts()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    loss_fn = nn.SmoothL1Loss()
    for epoch in range(1, 21):
        for x, y in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            val_error = (model(val[0]) - val[1]).abs().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
