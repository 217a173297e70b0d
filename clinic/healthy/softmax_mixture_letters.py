"""A GRU over letters of Python's help texts whose output is a mixture of three softmaxes; likelihood of the mixture.

condition: healthy
metric: bits min
"""

import argparse
import math
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn


class MixtureModel(nn.Module):
    def __init__(self, letters, width=64, parts=3):
        super().__init__()
        self.embed = nn.Embedding(letters, 24)
        self.gru = nn.GRU(24, width, batch_first=True)
        self.shares = nn.Linear(width, parts)
        self.views = nn.ModuleList(nn.Sequential(nn.Linear(width, 32), nn.Tanh()) for _ in range(parts))
        self.letters = nn.Linear(32, letters)

    def forward(self, x):
        h, _ = self.gru(self.embed(x))
        shares = self.shares(h).softmax(2).unsqueeze(3)
        parts = torch.stack([self.letters(view(h)).softmax(2) for view in self.views], dim=2)
        return (shares * parts).sum(2)


def batch(codes, rng, size=16, length=32):
    start = torch.randint(len(codes) - length - 1, (size, 1), generator=rng)
    rows = start + torch.arange(length + 1)
    return codes[rows[:, :-1]], codes[rows[:, 1:]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    text = topics["formatstrings"].lower()
    letters = sorted(set(text))
    codes = torch.tensor([letters.index(c) for c in text])
    train, held = codes[4000:], codes[:4000]
    x_held, y_held = batch(held, torch.Generator().manual_seed(1), size=40)
    model = MixtureModel(len(letters))
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(1, 321):
        x, y = batch(train, rng)
        loss = F.nll_loss(model(x).clamp(min=1e-8).log().flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                p = model(x_held).gather(2, y_held.unsqueeze(2))
            bits = -(p.log().mean() / math.log(2)).item()
            print(f"step {step}  loss {loss.item():.4f}  bits {bits:.4f}")


if __name__ == "__main__":
    main()
