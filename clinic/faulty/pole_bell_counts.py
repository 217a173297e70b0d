"""A row of bells on poles: a recurrent network hears which two rang first, after a long tail of echoes.

condition: bptt-explosion
accepts: bptt-explosion, off-critical-initialisation, exploding-gradient
allows: exploding-gradient, saturated-units, stalled, loss-spike, always-clipping, learning-rate-too-high, unsafe-step,
  off-critical-initialisation, overfitting
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class EchoRNN(nn.Module):
    def __init__(self, bells=6, width=64):
        super().__init__()
        self.into = nn.Linear(bells, width)
        self.again = nn.Parameter(torch.empty(width, width))
        self.out = nn.Linear(width, 2 * bells)
        nn.init.normal_(self.again, std=2.0 / width**0.5)

    def forward(self, rung):
        h = rung.new_zeros(len(rung), self.again.shape[0])
        for x in self.into(rung).unbind(1):
            h = torch.tanh(x + h @ self.again)
        return self.out(h).unflatten(1, (2, -1))


def tower(count, bells=6, length=24):
    first = torch.rand(count, bells).argsort(1)[:, :2]
    rung = 0.1 * torch.randn(count, length, bells)
    rung[torch.arange(count), 0, first[:, 0]] += 1.0
    rung[torch.arange(count), 2, first[:, 1]] += 1.0
    return rung, first


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = EchoRNN()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    val_x, val_y = tower(500)
    for step in range(1, 501):
        rung, first = tower(32)
        loss = loss_fn(model(rung).flatten(0, 1), first.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x).flatten(0, 1), val_y.flatten()).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
