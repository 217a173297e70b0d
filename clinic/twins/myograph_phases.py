"""Finger movements from a forearm's muscle signals by an LSTM: the new wearer's head first, then the whole network.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

CHANNELS, T, MOVES = 6, 30, 6


def trials(n, gen, wearer):
    """Envelopes of six muscles: each movement has its own order of activation."""
    fixed = torch.Generator().manual_seed(5)
    onset = 22 * torch.rand(MOVES, CHANNELS, generator=fixed)
    level = 0.5 + torch.rand(MOVES, CHANNELS, generator=fixed)
    shift = wearer * 6 * torch.randn(MOVES, CHANNELS, generator=torch.Generator().manual_seed(wearer))
    move = torch.randint(MOVES, (n,), generator=gen)
    at = (onset + shift)[move].unsqueeze(1) + 1.5 * torch.randn(n, 1, CHANNELS, generator=gen)
    t = torch.arange(T).view(1, T, 1)
    burst = level[move].unsqueeze(1) * torch.exp(-(((t - at) / 3) ** 2))
    return 2 * burst - 0.5 + 0.7 * torch.randn(n, T, CHANNELS, generator=gen), move


class MoveNet(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.lstm = nn.LSTM(CHANNELS, hidden, batch_first=True)
        self.head = nn.Linear(hidden, MOVES)

    def forward(self, x):
        return self.head(self.lstm(x)[0].mean(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    model, loss_fn = MoveNet(), nn.CrossEntropyLoss()
    val_x, val_y = trials(600, gen, 1)
    everything = torch.optim.Adam(model.parameters(), lr=4e-3)
    head_only = torch.optim.Adam(model.head.parameters(), lr=4e-3)

    def train(steps, wearer, optimizer, trained, start):
        for step in range(start + 1, start + steps + 1):
            x, y = trials(40, gen, wearer)
            loss = loss_fn(model(x), y)
            for p in trained:
                p.grad = None
            loss.backward()
            optimizer.step()
            if step % 25 == 0:
                with torch.no_grad():
                    val_loss = loss_fn(model(val_x), val_y).item()
                print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")

    train(200, 0, everything, list(model.parameters()), 0)
    model.head.reset_parameters()
    train(75, 1, head_only, list(model.head.parameters()), 200)
    tuned = torch.optim.Adam(model.parameters(), lr=2e-3)
    train(300, 1, tuned, list(model.parameters()), 275)


main()
