"""Amount (in cents) and kind of an invoice from twenty features of its scan: one body, two heads, one sum of losses.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled, learning-rate-too-low, unscaled-inputs, always-clipping, dead-units, output-logit-divergence
metric: kind_loss min
"""

import argparse

import torch
from torch import nn


class Scans:
    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)
        self.mix = torch.randn(12, 20, generator=self.g) / 12**0.5
        self.kinds = torch.randn(10, 5, generator=self.g)

    def draw(self, count):
        hidden = torch.randn(count, 12, generator=self.g)
        amount = 2000 + 900 * hidden[:, 10] + 500 * torch.sin(2 * hidden[:, 11])
        kind = (torch.tanh(1.5 * hidden[:, :10]) @ self.kinds).argmax(1)
        scan = hidden @ self.mix + 0.1 * torch.randn(count, 20, generator=self.g)
        return {"scan": 2 * scan, "amount": amount, "kind": kind}


class Reader(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.heads = nn.ModuleDict({"amount": nn.Linear(width, 1), "kind": nn.Linear(width, 5)})

    def forward(self, scan):
        h = self.body(scan)
        return {name: head(h) for name, head in self.heads.items()}


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)

scans = Scans(seed)
val = scans.draw(600)
model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
mse, ce = nn.MSELoss(), nn.CrossEntropyLoss()


def losses(batch):
    out = model(batch["scan"])
    amount_loss = mse(out["amount"].squeeze(1), batch["amount"])
    return amount_loss, ce(out["kind"], batch["kind"])


for step in range(1, 401):
    amount_loss, kind_loss = losses(scans.draw(64))
    loss = amount_loss + kind_loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 16 == 0:
        with torch.no_grad():
            amount, kind = losses(val)
        print(f"step {step}  loss {loss.item():.4g}  amount_loss {amount.item():.4g}  kind_loss {kind.item():.4f}")
