"""Which way does a beetle turn? A recurrent net reads its steps; lengths first from one camera, then another.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Track:
    """Steps of a beetle: bearing in radians and length, first in centimetres, later from the new camera."""

    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)

    def batch(self, count, unit=1.0, length=12):
        turn = 0.6 * torch.randn(count, length, generator=self.g)
        stride = 1 + 0.4 * torch.randn(count, length, generator=self.g)
        bearing = turn.cumsum(1)
        x, y = (stride * bearing.cos()).sum(1), (stride * bearing.sin()).sum(1)
        home = torch.atan2(-y, -x) - bearing[:, -1]
        left = (torch.sin(home) > 0).long()
        return unit * torch.stack([turn, stride], 2), left


class Compass(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.RNN(2, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 2))

    def forward(self, steps):
        return self.head(self.rnn(steps)[0][:, -1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    track = Track(seed)
    model = Compass()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 501):
        steps, left = track.batch(64)
        loss = loss_fn(model(steps), left)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_steps, val_left = track.batch(400)
                val_loss = loss_fn(model(val_steps), val_left).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
