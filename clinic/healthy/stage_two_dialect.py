"""A letter model reads the help pages' text, then goes on to another dialect, their letters shifted, at a lower rate.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

WINDOW = 8


class LetterMixer(nn.Module):
    def __init__(self, letters=40, width=20, hidden=128):
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.net = nn.Sequential(nn.Linear(WINDOW * width, hidden), nn.SiLU(), nn.LayerNorm(hidden))
        self.mix = nn.Linear(hidden, width)
        self.bias = nn.Parameter(torch.zeros(letters))

    def forward(self, codes):
        return self.mix(self.net(self.embed(codes).flatten(1))) @ self.embed.weight.T + self.bias


def letters(text):
    return torch.tensor([ord(c) - 96 if "a" <= c <= "z" else (0 if c.isspace() else 27 + ord(c) % 13) for c in text])


def dialect(codes):
    swap = torch.arange(40)
    swap[torch.tensor([1, 5, 9, 15, 21])] = torch.tensor([5, 9, 15, 21, 1])
    return swap[codes]


def batch(codes, n):
    at = torch.randint(len(codes) - WINDOW, (n, 1))
    piece = codes[at + torch.arange(WINDOW + 1)]
    return piece[:, :-1], piece[:, -1]


def stage(model, train, val, steps, lr, done, loss_fn):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(t / 30, 1) * max(0.05, 1 - t / steps))
    for step in range(done + 1, done + steps + 1):
        x, y = batch(train, 96)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                x, y = batch(val, 3000)
                print(f"step {step}  loss {loss.item():.4f}  val_loss {loss_fn(model(x), y).item():.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    codes = letters("".join(topics[k] for k in sorted(topics)).lower()[:260_000])
    train, val = codes[:230_000], codes[230_000:]
    model, loss_fn = LetterMixer(), nn.CrossEntropyLoss()
    stage(model, train, val, 400, 4e-3, 0, loss_fn)
    stage(model, dialect(train), dialect(val), 400, 2e-3, 400, loss_fn)


if __name__ == "__main__":
    main()
