"""How unusual is an order? A flow of couplings learns the density of eight columns of an order book.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
from torch import nn

COLUMNS = 8


def orders(n, generator):
    """Log-normal amounts, prices that follow them, waiting times with a long tail, all standardised robustly."""
    z = torch.randn(n, COLUMNS, generator=generator)
    amount = torch.exp(1.1 * z[:, 0])
    price = 1.5 * z[:, 0] + 0.3 * z[:, 1]
    wait = (z[:, 2] + 0.5 * z[:, 3]) * torch.exp(0.7 * z[:, 3])
    spread = 0.2 * z[:, 4] * (1 + amount)
    rest = torch.stack([z[:, 5] + 0.8 * price.tanh(), z[:, 6] * z[:, 5].sigmoid(), z[:, 7].abs() + 0.3 * z[:, 2]], 1)
    x = torch.cat([torch.stack([amount, price, wait, spread, z[:, 1] - z[:, 0] ** 2], 1), rest], 1)
    low, mid, high = x.quantile(torch.tensor([0.16, 0.5, 0.84]), dim=0)
    return (x - mid) / (high - low) * 2


class Coupling(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        half = COLUMNS // 2
        self.net = nn.Sequential(nn.Linear(half, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.out = nn.Linear(hidden, 2 * half)

    def forward(self, x):
        a, b = x.chunk(2, 1)
        scale, shift = self.out(self.net(a)).chunk(2, 1)
        scale = 1.5 * torch.tanh(scale / 1.5)
        return torch.cat([b * scale.exp() + shift, a], 1), scale.sum(1)


class Flow(nn.Module):
    def __init__(self, depth=12):
        super().__init__()
        self.couplings = nn.ModuleList([Coupling() for _ in range(depth)])

    def log_prob(self, x):
        volume = 0.0
        for coupling in self.couplings:
            x, log_scale = coupling(x)
            volume = volume + log_scale
        return volume - 0.5 * (x.square() + 1.8378771).sum(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = orders(4000, generator), orders(800, generator)
    model = Flow()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(1, 301):
        rows = torch.randint(len(train), (96,), generator=generator)
        loss = -model.log_prob(train[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_nll = -model.log_prob(val).median().item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
