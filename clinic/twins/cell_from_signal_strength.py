"""Which of three hundred and sixty cells of a hall is a phone in? Signal strengths of sixteen access points tell.

condition: healthy
metric: metres min
"""

import argparse

import torch
from torch import nn


class Hall:
    """A hall of 40 by 18 metres with access points on its walls and two pillars' worth of fading."""

    def __init__(self, generator):
        self.generator = generator
        self.points = torch.rand(16, 2, generator=generator) * torch.tensor([40.0, 18.0])

    def walk(self, count):
        place = torch.rand(count, 2, generator=self.generator) * torch.tensor([40.0, 18.0])
        distance = torch.cdist(place, self.points) + 1
        decibels = -40 - 22 * torch.log10(distance) + 1.5 * torch.randn(distance.shape, generator=self.generator)
        cell = (place[:, 0] // (40 / 30)).long() * 12 + (place[:, 1] // 1.5).long()
        return (decibels + 65) / 8, cell, place


def centres():
    column, row = torch.arange(360) // 12, torch.arange(360) % 12
    return torch.stack([(column + 0.5) * 40 / 30, (row + 0.5) * 1.5], 1)


class Locator(nn.Module):
    def __init__(self, hidden=96):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.cells = nn.Linear(hidden, 360)

    def forward(self, strengths):
        return self.cells(self.encode(strengths))


class Trainer:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.hall = Hall(torch.Generator().manual_seed(seed))
        self.test = self.hall.walk(600)
        self.model = Locator()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2, betas=(0.5, 0.9))
        self.loss_fn = nn.CrossEntropyLoss()

    def step(self):
        strengths, cell, _ = self.hall.walk(16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.model(strengths)
            loss = self.loss_fn(logits, cell) + 3e-2 * logits.float().logsumexp(1).pow(2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def error(self):
        strengths, _, place = self.test
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            found = centres()[self.model(strengths).argmax(1)]
        return (found - place).norm(dim=1).mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    trainer = Trainer(parser.parse_args().seed)
    for step in range(1, 801):
        loss = trainer.step()
        if step % 25 == 0:
            print(f"step {step}  loss {loss:.4f}  metres {trainer.error():.3f}")
