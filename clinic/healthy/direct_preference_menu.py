"""A menu writer: a small language model learns the kitchen's phrases, then which dishes the guests prefer (DPO).

condition: healthy
metric: preferred max
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn

WORDS, LENGTH = 40, 8


class Writer(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.embed = nn.Embedding(WORDS + 1, width)
        self.gru = nn.GRU(width, 96, batch_first=True)
        self.head = nn.Linear(96, WORDS)

    def forward(self, dish):
        start = torch.full((len(dish), 1), WORDS)
        return self.head(self.gru(self.embed(torch.cat([start, dish[:, :-1]], 1)))[0])

    def log_prob(self, dish):
        return self(dish).log_softmax(-1).gather(2, dish[..., None])[..., 0].sum(1)


def cook(count, grammar):
    """Dishes by a sparse chain of words."""
    word = torch.randint(0, WORDS, (count,))
    dish = [word]
    for _ in range(LENGTH - 1):
        word = grammar[word].multinomial(1)[:, 0]
        dish.append(word)
    return torch.stack(dish, 1)


def pairs(count, grammar, taste):
    one, two = cook(count, grammar), cook(count, grammar)
    gap = taste[one].sum(1) - taste[two].sum(1)
    first = (torch.rand(count) < torch.sigmoid(3 * gap))[:, None]
    return torch.where(first, one, two), torch.where(first, two, one), gap.abs() > 1.0


def main(seed):
    torch.manual_seed(seed)
    grammar = F.softmax(2.5 * torch.randn(WORDS, WORDS), 1)
    taste = torch.randn(WORDS) * 0.5
    model = Writer()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 400)
    for step in range(1, 401):
        dish = cook(64, grammar)
        loss = F.cross_entropy(model(dish).flatten(0, 1), dish.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 80 == 0:
            print(f"step {step}  words {loss.item():.4f}")

    reference = copy.deepcopy(model).eval().requires_grad_(False)
    beta = 0.2
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, s / 20, (405 - s) / 250))
    good, bad, clear = pairs(2000, grammar, taste)
    for step in range(401, 801):
        liked, other, _ = pairs(64, grammar, taste)
        with torch.no_grad():
            base = reference.log_prob(liked) - reference.log_prob(other)
        loss = -F.logsigmoid(beta * (model.log_prob(liked) - model.log_prob(other) - base)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                margin = sum((m.log_prob(good) - m.log_prob(bad)) * s for m, s in ((model, 1), (reference, -1)))
            preferred = (margin[clear] > 0).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  preferred {preferred:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
