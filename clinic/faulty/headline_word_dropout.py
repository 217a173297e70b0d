"""Headlines of three to nine words go to one of eight desks; words are dropped at random, more and more of them.

condition: amp-step-skipping
accepts: amp-step-skipping, non-finite
allows: non-finite, stalled, frozen-parameters
metric: accuracy max
"""

import argparse

import torch
from torch import nn

WORDS, DESKS, LONGEST = 600, 8, 9


class Headlines:
    """Each desk has words of its own that it likes a little more than the others do."""

    def __init__(self):
        self.taste = torch.softmax(0.9 * torch.randn(DESKS, WORDS), 1)

    def draw(self, count):
        desk = torch.randint(DESKS, (count,))
        words = torch.multinomial(self.taste[desk], LONGEST, replacement=True)
        length = torch.randint(3, LONGEST + 1, (count, 1))
        return words, torch.arange(LONGEST) < length, desk


class Router(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.mlp = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, DESKS))

    def forward(self, words, present):
        present = present.unsqueeze(-1).float()
        mean = (self.words(words) * present).sum(1) / present.sum(1)
        return self.mlp(mean)


class Trainer:
    def __init__(self, steps=360):
        self.steps = steps
        self.source = Headlines()
        self.model = Router()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1.5e-3)
        self.scaler = torch.amp.GradScaler("cpu")
        self.loss_fn = nn.CrossEntropyLoss()
        self.exam = self.source.draw(1500)

    def step(self, drop):
        words, present, desk = self.source.draw(128)
        present = present & (torch.rand(present.shape) >= drop)
        with torch.autocast("cpu", torch.float16):
            loss = self.loss_fn(self.model(words, present), desk)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    @torch.no_grad()
    def accuracy(self):
        words, present, desk = self.exam
        return (self.model(words, present).argmax(1) == desk).float().mean().item()

    def run(self):
        for step in range(1, self.steps + 1):
            self.step(drop=0.6 * step / self.steps)
            if step % 10 == 0:
                print(f"step {step}  accuracy {self.accuracy():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    Trainer().run()
