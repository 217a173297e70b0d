"""Two marked readings of a long series are to be added; the series gets longer as the network gets better.

condition: bptt-explosion
accepts: bptt-explosion, exploding-gradient
allows: learning-rate-too-high, divergence, loss-spike, dead-units, unsafe-step, stalled
metric: miss_rate min
"""

import argparse

import torch
from torch import nn


def series(batch, length, g):
    value = torch.rand(batch, length, generator=g)
    mark = torch.zeros(batch, length)
    first = torch.randint(0, length // 2, (batch, 1), generator=g)
    second = torch.randint(length // 2, length, (batch, 1), generator=g)
    mark.scatter_(1, first, 1.0).scatter_(1, second, 1.0)
    return torch.stack([value, mark], dim=-1), (value * mark).sum(1)


class Counter(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True)
        self.out = nn.Linear(hidden, 1)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)
        nn.init.zeros_(self.rnn.bias_ih_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1]).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    val_x, val_y = series(500, 100, g)
    model = Counter()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    length = 20
    for step in range(1, 1201):
        if step in (300, 450, 600):
            length = {300: 50, 450: 80, 600: 100}[step]
        x, y = series(64, length, g)
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                miss = ((model(val_x) - val_y).abs() > 0.2).float().mean().item()
            print(f"step {step}  length {length}  loss {loss.item():.4f}  miss_rate {miss:.4f}")


if __name__ == "__main__":
    main()
