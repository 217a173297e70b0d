"""Points that tasters give to wines: factors with Adam over all known cells of a table.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn

TASTERS, WINES, TRUE_RANK = 150, 120, 3


class Table(nn.Module):
    def __init__(self, rank):
        super().__init__()
        self.tasters = nn.Parameter(0.1 * torch.randn(TASTERS, rank))
        self.wines = nn.Parameter(0.1 * torch.randn(WINES, rank))
        self.kind, self.good = nn.Parameter(torch.zeros(TASTERS)), nn.Parameter(torch.zeros(WINES))

    def forward(self, who, what):
        return (self.tasters[who] * self.wines[what]).sum(1) + self.kind[who] + self.good[what]


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

truth = torch.randn(TASTERS, TRUE_RANK) @ torch.randn(TRUE_RANK, WINES) / 1.7
points = truth + 0.7 * torch.randn(WINES) + 0.6 * torch.randn(TASTERS, WINES)
cells = torch.randperm(TASTERS * WINES)
known, hidden = cells[:5400], cells[5400:]
table = Table(rank=3)
optimizer = torch.optim.AdamW(table.parameters(), lr=4e-3, weight_decay=0.5)
loss_fn = nn.MSELoss()

for step in range(1, 1201):
    some = known[torch.randint(len(known), (1500,))]
    who, what = some // WINES, some % WINES
    loss = loss_fn(table(who, what), points[who, what])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        with torch.no_grad():
            who, what = hidden // WINES, hidden % WINES
            val_rmse = loss_fn(table(who, what), points[who, what]).sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")
