"""The usual price of a fruit at a market: a question reads the stalls by cross-attention.

condition: attention-logit-growth
accepts: attention-logit-growth, softmax-collapse
allows: softmax-collapse, stalled, loss-spike, divergence, overfitting, exploding-gradient
metric: val_mse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

FRUITS, STALLS = 4, 16


class Reader(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.question = nn.Embedding(FRUITS, width)
        self.stall = nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, 2 * width))
        self.out = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.width = width

    def forward(self, fruit, stalls, focus):
        key, value = self.stall(stalls).chunk(2, 2)
        scores = torch.einsum("bw,bsw->bs", self.question(fruit), key) * focus / self.width**0.5
        return self.out(torch.einsum("bs,bsw->bw", scores.softmax(1), value)).squeeze(1)


def markets(count, looks):
    kind = torch.randint(FRUITS, (count, STALLS))
    price = torch.randn(count, FRUITS).gather(1, kind) + 0.8 * torch.randn(count, STALLS)
    stalls = torch.cat([looks[kind] + 0.3 * torch.randn(count, STALLS, 5), price.unsqueeze(2)], 2)
    fruit = kind[torch.arange(count), torch.randint(STALLS, (count,))]
    same = (kind == fruit.unsqueeze(1)).float()
    return fruit, stalls, (same * price).sum(1) / same.sum(1)


def focus_at(step):
    return 1.0 if step <= 250 else 1.02 ** (step - 250)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
looks = torch.randn(FRUITS, 5)
model = Reader()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
held = markets(1000, looks)
for step in range(1, 701):
    fruit, stalls, price = markets(64, looks)
    focus = focus_at(step)
    loss = F.mse_loss(model(fruit, stalls, focus), price)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            val_mse = F.mse_loss(model(held[0], held[1], focus), held[2]).item()
        print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")
