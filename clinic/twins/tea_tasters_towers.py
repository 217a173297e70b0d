"""Two towers meet: tasters with a table of their own, teas with their measurements; liked or not.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

TASTERS, TEAS, STEPS = 150, 500, 900
measured = torch.randn(TEAS, 10)
palate = torch.randn(TASTERS, 4)
hidden = torch.tanh(measured @ torch.randn(10, 4) / 10**0.5 * 1.5)


def tastings(count):
    who, what = torch.randint(TASTERS, (count,)), torch.randint(TEAS, (count,))
    chance = torch.sigmoid(2.2 * (palate[who] * hidden[what]).sum(1))
    return who, what, torch.bernoulli(chance)


class Towers(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.tasters = nn.Embedding(TASTERS, dim)
        self.query = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, dim))
        self.teas = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, dim))
        nn.init.normal_(self.tasters.weight, std=0.3)

    def forward(self, who, what):
        return (self.query(self.tasters(who)) * self.teas(measured[what])).sum(1)


model = Towers()
networks = [p for name, p in model.named_parameters() if not name.startswith("tasters")]
optimizer = torch.optim.AdamW(
    [{"params": networks, "lr": 3e-3}, {"params": model.tasters.parameters(), "lr": 1e-2}], weight_decay=1e-3
)
scheduler = torch.optim.lr_scheduler.LambdaLR(
    optimizer, [lambda step: 1 - 0.9 * step / STEPS, lambda step: step / STEPS]
)
val_set = tastings(2000)

for step in range(1, STEPS + 1):
    who, what, liked = tastings(128)
    loss = F.binary_cross_entropy_with_logits(model(who, what), liked)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 30 == 0:
        with torch.no_grad():
            val_loss = F.binary_cross_entropy_with_logits(model(*val_set[:2]), val_set[2]).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
