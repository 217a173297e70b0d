"""A small policy closes open brackets; groups of answers to one prompt are compared, as in GRPO.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled, softmax-collapse, naive-loss-minimisation, vanishing-gradient, dead-units
metric: reward max
"""

import argparse

import torch
from torch import nn

OPEN, DEPTH, GROUP = 5, 4, 8


class Closer(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.symbols = nn.Embedding(2 * OPEN, 16)
        self.reader = nn.GRU(16, width, batch_first=True)
        self.writer = nn.GRUCell(16, width)
        self.head = nn.Linear(width, OPEN)

    def answer(self, prompt, temperature):
        _, hidden = self.reader(self.symbols(prompt))
        hidden, symbol = hidden[0], prompt[:, -1]
        symbols, logs = [], []
        for _ in range(DEPTH):
            hidden = self.writer(self.symbols(symbol), hidden)
            choice = torch.distributions.Categorical(logits=self.head(hidden) / temperature)
            kind = choice.sample()
            symbols.append(kind)
            logs.append(choice.log_prob(kind))
            symbol = kind + OPEN
        return torch.stack(symbols, 1), torch.stack(logs, 1).sum(1)


def score(prompt, answer):
    right = answer == prompt.flip(1)
    return right.float().cumprod(1).mean(1)


def temperature_at(step):
    return max(0.02, 1 - step / 150)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    policy = Closer()
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    test = torch.randint(OPEN, (500, DEPTH))
    for step in range(1, 901):
        prompt = torch.randint(OPEN, (24, DEPTH)).repeat_interleave(GROUP, 0)
        answer, log = policy.answer(prompt, temperature_at(step))
        rewards = score(prompt, answer).view(-1, GROUP)
        advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-2)
        loss = -(advantage.flatten() * log).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                reward = score(test, policy.answer(test, 0.01)[0]).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  reward {reward:.4f}")


main()
