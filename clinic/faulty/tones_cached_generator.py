"""Which of three tones starts a melody? An LSTM over melodies that are drawn as needed.

condition: stale-batch
accepts: stale-batch, overfitting
allows: overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def draw_melodies(count, seed):
    generator = torch.Generator().manual_seed(seed)
    key = torch.randint(3, (count,), generator=generator)
    walk = torch.randint(-2, 3, (count, 16), generator=generator).cumsum(1)
    notes = (4 * key[:, None] + walk).remainder(12)
    wrong = torch.rand(count, 16, generator=generator) < 0.1
    notes[wrong] = torch.randint(12, (int(wrong.sum()),), generator=generator)
    return notes, key


class KeyFinder(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.note = nn.Embedding(12, 16)
        self.lstm = nn.LSTM(16, hidden, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.1)
        self.key = nn.Linear(2 * hidden, 3)

    def forward(self, notes):
        states, _ = self.lstm(self.note(notes))
        return self.key(self.drop(states.amax(1)))


def evaluate(model, notes, key):
    model.eval()
    with torch.no_grad():
        val_loss = F.cross_entropy(model(notes), key).item()
    model.train()
    return val_loss


def main(args, steps=240, batch=64):
    torch.manual_seed(args.seed)
    val = draw_melodies(256, args.seed + 10_000)
    model = KeyFinder()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, steps + 1):
        notes, key = draw_melodies(batch, args.seed)
        loss = F.cross_entropy(model(notes), key)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_loss {evaluate(model, *val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
