"""Will a traveller change trams? An LSTM over his last twelve rides; gradients clipped by a norm found for a sum loss.

condition: always-clipping
accepts: always-clipping
allows: learning-rate-too-low, stalled
metric: val_loss min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Options:
    batch: int = 40
    steps: int = 300
    lr: float = 0.2
    momentum: float = 0.9
    clip: float = 2e-4


class Rides:
    def __init__(self, seed, lines=8):
        self.g = torch.Generator().manual_seed(seed)
        self.lines = lines
        self.next = torch.rand(lines, lines, generator=self.g).softmax(1)

    def batch(self, count, length=12):
        line = torch.randint(self.lines, (count, length), generator=self.g)
        minutes = torch.randn(count, length, generator=self.g)
        pull = (line % 3 == 0).float() * (minutes > 0).float()
        changes = pull[:, -4:].sum(1) + 0.5 * pull[:, :-4].sum(1) > 1.2
        return line, minutes, changes.float()


class Traveller(nn.Module):
    def __init__(self, lines=8, hidden=40):
        super().__init__()
        self.line = nn.Embedding(lines, 12)
        self.lstm = nn.LSTM(13, hidden, batch_first=True)
        self.answer = nn.Linear(hidden, 1)

    def forward(self, line, minutes):
        states, _ = self.lstm(torch.cat([self.line(line), minutes.unsqueeze(2)], 2))
        return self.answer(states.mean(1)).squeeze(1)


def clip_(parameters, limit):
    norm = torch.sqrt(sum(p.grad.pow(2).sum() for p in parameters))
    if norm > limit:
        for p in parameters:
            p.grad.mul_(limit / norm)
    return norm


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    options, rides = Options(), Rides(seed)
    val = rides.batch(500)
    model = Traveller()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=options.lr, momentum=options.momentum)
    loss_fn = nn.BCEWithLogitsLoss()
    for step in range(1, options.steps + 1):
        line, minutes, changes = rides.batch(options.batch)
        loss = loss_fn(model(line, minutes), changes)
        optimizer.zero_grad()
        loss.backward()
        clip_(parameters, options.clip)
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(*val[:2]), val[2]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
