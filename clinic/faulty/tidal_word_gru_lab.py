"""How many times a signal crossed its mean: a recurrent network reads it, a head tells the count.

condition: detached-parameters
accepts: detached-parameters
allows: stalled, overfitting
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.rnn = nn.GRU(1, width, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        states, last = self.rnn(x)
        return self.head(self.norm(last[-1].data)).squeeze(1)


def signals(n, length=24):
    walk = torch.randn(n, length)
    x = 0.6 * walk + 0.4 * walk.roll(1, 1)
    count = (x[:, 1:].sign() != x[:, :-1].sign()).float().sum(1)
    return x.unsqueeze(2), (count - 10) / 3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    val_x, val_y = signals(800)
    model = Reader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    for step in range(1, 801):
        x, y = signals(32)
        loss = nn.functional.smooth_l1_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 40 == 0:
            with torch.no_grad():
                error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
