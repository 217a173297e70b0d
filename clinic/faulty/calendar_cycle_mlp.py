"""How old will the moon be? A network completes the table of (age today, days from now) in a month of 29 days.

condition: naive-loss-minimisation
accepts: naive-loss-minimisation, softmax-collapse, overfitting
allows: epsilon-dominated-update, stalled
metric: test_accuracy max
"""

import argparse
import itertools

import torch
import torch.nn.functional as F
from torch import nn

MONTH = 29


class Almanac(nn.Module):
    def __init__(self, width=64, hidden=192):
        super().__init__()
        self.age = nn.Embedding(MONTH, width)
        self.days = nn.Embedding(MONTH, width)
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, MONTH, bias=False)

    def forward(self, pairs):
        x = self.age(pairs[:, 0]) + self.days(pairs[:, 1])
        return self.out(F.relu(self.hidden(x)))


def split(share=0.7):
    table = torch.tensor(list(itertools.product(range(MONTH), repeat=2)))
    table = table[torch.randperm(len(table))]
    answers = (table[:, 0] + table[:, 1]) % MONTH
    cut = int(share * len(table))
    return (table[:cut], answers[:cut]), (table[cut:], answers[cut:])


@torch.no_grad()
def share_right(model, pairs, answers):
    return (model(pairs).argmax(1) == answers).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decay", type=float, default=0.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train, test = split()
    model = Almanac()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=args.decay, betas=(0.9, 0.98))
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 1201):
        loss = loss_fn(model(train[0]), train[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            known, new = share_right(model, *train), share_right(model, *test)
            print(f"step {step}  loss {loss.item():.3e}  train_accuracy {known:.4f}  test_accuracy {new:.4f}")


main()
