"""How many rings hang on a chain molecule? Message passing on dense adjacency matrices; the rate falls to zero.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import PolynomialLR

ATOMS = 14


class Messages(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.own, self.other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, h, adjacency):
        degree = adjacency.sum(-1, keepdim=True).clamp_min(1)
        return h + F.relu(self.norm(self.own(h) + self.other(adjacency @ h / degree**0.5)))


class RingCounter(nn.Module):
    def __init__(self, width=32, rounds=4):
        super().__init__()
        self.embed = nn.Linear(2, width)
        self.rounds = nn.ModuleList(Messages(width) for _ in range(rounds))
        self.readout = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, adjacency):
        degree = adjacency.sum(-1, keepdim=True)
        h = self.embed(torch.cat([degree - 2, (degree == 3).float()], -1))
        for messages in self.rounds:
            h = messages(h, adjacency)
        return self.readout(h.mean(1)).squeeze(-1)


def molecules(count):
    adjacency = torch.diag_embed(torch.ones(count, ATOMS - 1), 1)
    reach = torch.randint(2, 6, (count, 4))
    start = torch.randint(0, ATOMS - 6, (count, 4))
    used = torch.rand(count, 4) < 0.5
    rows = torch.arange(count)
    for k in range(4):
        adjacency[rows, start[:, k], start[:, k] + reach[:, k]] = torch.maximum(
            adjacency[rows, start[:, k], start[:, k] + reach[:, k]], used[:, k].float()
        )
    adjacency = adjacency + adjacency.transpose(1, 2)
    rings = adjacency.sum((1, 2)) / 2 - ATOMS + 1
    size = torch.where(used, reach, 0).sum(1)
    return adjacency, (rings + 0.2 * size - 3.3) / 1.6


def main(epochs=20, batch=32):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    adjacency, target = molecules(640)
    val_adjacency, val_target = molecules(256)
    model = RingCounter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    scheduler = PolynomialLR(optimizer, total_iters=epochs, power=1.0)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(adjacency)).split(batch):
            loss = F.mse_loss(model(adjacency[rows]), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            val_loss = F.mse_loss(model(val_adjacency), val_target).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
