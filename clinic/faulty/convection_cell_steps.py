"""Three modes of a convection cell: a residual step is learned on rollouts that become longer and longer.

condition: bptt-explosion
accepts: bptt-explosion, exploding-gradient
allows: exploding-gradient, loss-spike, divergence, learning-rate-too-high, unsafe-step, non-finite, saturated-units,
  stalled
metric: forecast min
"""

import argparse

import torch
from torch import nn

DT = 0.08


def slope(s):
    x, y, z = s.unbind(-1)
    return torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)


def advance(s, parts=8):
    h = DT / parts
    for _ in range(parts):
        k = slope(s + h / 2 * slope(s))
        s = s + h * k
    return s


def trajectories(n, length, gen):
    s = torch.tensor([0.0, 0.0, 25.0]) + 8 * torch.randn(n, 3, generator=gen)
    for _ in range(25):
        s = advance(s)
    path = [s]
    for _ in range(length):
        path.append(advance(path[-1]))
    return (torch.stack(path, 1) - torch.tensor([0.0, 0.0, 24.0])) / 8


class Step(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3)
        )

    def forward(self, s):
        return s + self.net(s)


def rollout(model, s, length):
    path = []
    for _ in range(length):
        s = model(s)
        path.append(s)
    return torch.stack(path, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    train, exam = trajectories(128, 220, gen), trajectories(200, 6, gen)
    model, loss_fn = Step(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 600)
    for step in range(1, 601):
        length = 1 + step // 8
        who = torch.randint(len(train), (64,), generator=gen)
        at = torch.randint(train.shape[1] - length, (64,), generator=gen)
        window = torch.stack([train[w, a : a + length + 1] for w, a in zip(who, at)])
        loss = loss_fn(rollout(model, window[:, 0], length), window[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 24 == 0:
            with torch.no_grad():
                forecast = loss_fn(rollout(model, exam[:, 0], 6), exam[:, 1:]).sqrt().item()
            print(f"step {step}  length {length}  loss {loss.item():.5f}  forecast {forecast:.5f}")


main()
