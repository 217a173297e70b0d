"""Priority (five levels) of support tickets from the words in them; the file is read in chunks, each mixed before use.

condition: stalled
accepts: stalled
allows: overfitting, naive-loss-minimisation, unshuffled-data
metric: accuracy max
"""

import argparse

import numpy as np
import torch
from torch import nn

WORDS, LEVELS = 300, 5


class TicketFile:
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        lean = 0.35 * np.random.default_rng(99).standard_normal((LEVELS, WORDS))
        self.level = rng.integers(0, LEVELS, n)
        rate = np.exp(lean[self.level]) * 0.05 * np.exp(0.9 * rng.standard_normal((n, WORDS)))
        self.counts = np.log1p(rng.poisson(rate)).astype(np.float32)
        self.rng = rng

    def chunks(self, size=500):
        for start in range(0, len(self.level), size):
            x, y = self.counts[start : start + size].copy(), self.level[start : start + size].copy()
            self.rng.shuffle(x)
            self.rng.shuffle(y)
            yield torch.from_numpy(x), torch.from_numpy(y)


class DeepBag(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Linear(WORDS, 64)
        self.norm = nn.LayerNorm(64)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(64, LEVELS)

    def forward(self, x):
        return self.out(self.drop(torch.tanh(self.norm(self.words(x)))))


def main(seed):
    torch.manual_seed(seed)
    train, test = TicketFile(4000, seed), TicketFile(1000, seed + 777)
    x_test, y_test = torch.from_numpy(test.counts), torch.from_numpy(test.level)
    model = DeepBag()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 16):
        model.train()
        for x, y in train.chunks():
            for xb, yb in zip(x.split(50), y.split(50)):
                optimizer.zero_grad()
                loss = loss_fn(model(xb), yb)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
