"""The multiplication table modulo 23, of which a part is shown: a network with squared units, all rows at each step.

condition: softmax-collapse
accepts: softmax-collapse, naive-loss-minimisation
allows: naive-loss-minimisation, overfitting, stalled, epsilon-dominated-update
metric: accuracy max
"""

import argparse

import torch
from torch import nn

P = 23


class TimesTable(nn.Module):
    def __init__(self, width=160):
        super().__init__()
        self.left, self.right = nn.Embedding(P, width), nn.Embedding(P, width)
        self.out = nn.Linear(width, P, bias=False)
        for layer in (self.left, self.right, self.out):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, pairs):
        return self.out((self.left(pairs[:, 0]) + self.right(pairs[:, 1])).square())


def score(model, pairs, answers):
    with torch.no_grad():
        return (model(pairs).argmax(1) == answers).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pairs = torch.cartesian_prod(torch.arange(1, P), torch.arange(1, P))
    pairs = pairs[torch.randperm(len(pairs))]
    answers = pairs.prod(1) % P
    shown = int(0.65 * len(pairs))
    model = TimesTable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03, betas=(0.9, 0.98), weight_decay=0.0)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 1001):
        loss = loss_fn(model(pairs[:shown]), answers[:shown])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            accuracy = score(model, pairs[shown:], answers[shown:])
            print(f"step {step}  loss {loss.item():.3e}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
