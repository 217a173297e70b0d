"""Find the price of a dish on a menu: a query attends to the lines of the menu and copies what stands there.

condition: attention-logit-growth
accepts: attention-logit-growth, softmax-collapse
allows: softmax-collapse, stalled, loss-spike
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

LINES, DISH, PRICES = 24, 16, 10


def menus(count):
    """The guest remembers the dish only roughly; the price is said by a noisy code next to it."""
    dishes = torch.randn(count, LINES, DISH)
    prices = torch.randint(PRICES, (count, LINES))
    wanted = torch.randint(LINES, (count,))
    rows = torch.arange(count)
    memory = dishes[rows, wanted] + 0.8 * torch.randn(count, DISH)
    return memory, dishes, prices, prices[rows, wanted]


class Lookup(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.q = nn.Linear(DISH, width)
        self.k = nn.Linear(DISH, width)
        self.v = nn.Embedding(PRICES, width)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, PRICES))

    def forward(self, memory, dishes, prices):
        q, k = self.q(memory).unsqueeze(1), self.k(dishes)
        scores = (q * k).sum(-1) * math.sqrt(q.shape[-1])
        read = torch.einsum("bl,blw->bw", F.softmax(scores, dim=1), self.v(prices))
        return self.out(read)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    model = Lookup()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    held = menus(1000)
    for step in range(1, 801):
        memory, dishes, prices, answer = menus(128)
        loss = F.cross_entropy(model(memory, dishes, prices), answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(*held[:3]), held[3]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
