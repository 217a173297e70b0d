"""A policy opens code locks of four wheels: groups of eight tries a lock, a share of the wheels right, clipped ratios.

condition: healthy
metric: reward max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

WHEELS, MARKS, LOCKS, GROUP = 4, 6, 16, 8


class Locksmith(nn.Module):
    """Reads the pattern on a lock and sets one wheel after the other."""

    def __init__(self, width=64):
        super().__init__()
        self.read = nn.Linear(10, width)
        self.mark = nn.Embedding(MARKS + 1, width)
        self.cell = nn.GRUCell(width, width)
        self.out = nn.Linear(width, MARKS)

    def start(self, patterns):
        return torch.tanh(self.read(patterns)), torch.full((len(patterns),), MARKS)

    def step(self, h, last):
        h = self.cell(self.mark(last), h)
        return h, self.out(h)

    def log_prob(self, patterns, tries):
        h, last = self.start(patterns)
        total = 0.0
        for wheel in range(WHEELS):
            h, logits = self.step(h, last)
            last = tries[:, wheel]
            total = total - F.cross_entropy(logits, last, reduction="none")
        return total


@torch.no_grad()
def attempt(model, patterns, rng):
    h, last = model.start(patterns)
    tries = []
    for _ in range(WHEELS):
        h, logits = model.step(h, last)
        last = torch.multinomial(logits.softmax(1), 1, generator=rng).squeeze(1)
        tries.append(last)
    return torch.stack(tries, 1)


class Locks:
    def __init__(self):
        self.plan = torch.randn(WHEELS, 10, MARKS)

    def draw(self, count):
        patterns = torch.randn(count, 10)
        codes = torch.einsum("bp,wpm->bwm", patterns, self.plan).argmax(2)
        return patterns, codes


def main(seed):
    torch.manual_seed(seed)
    locks, model = Locks(), Locksmith()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    patterns_test, codes_test = locks.draw(300)
    test_rng = torch.Generator().manual_seed(seed)
    for step in range(1, 201):
        patterns, codes = locks.draw(LOCKS)
        rng = torch.Generator().manual_seed(step)
        tries = torch.stack([attempt(model, patterns, rng) for _ in range(GROUP)], 1)
        rewards = (tries == codes.unsqueeze(1)).float().mean(2)
        advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        flat = patterns.repeat_interleave(GROUP, 0), tries.flatten(0, 1)
        with torch.no_grad():
            old = model.log_prob(*flat)
        for _ in range(2):
            ratio = (model.log_prob(*flat) - old).exp()
            gain = advantages.flatten()
            loss = -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % 10 == 0:
            reward = (attempt(model, patterns_test, test_rng) == codes_test).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  reward {reward:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
