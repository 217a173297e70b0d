"""Which of two rows of beads costs more to re-thread? Rows get longer from stage to stage, pairs are noisy judgements.

condition: healthy
metric: agreement max
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Cost(nn.Module):
    def __init__(self, beads=7, width=32):
        super().__init__()
        self.bead = nn.Embedding(beads, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, row):
        return self.out(self.gru(self.bead(row))[0].mean(1)).squeeze(1)


def true_cost(row, price):
    return price[row[:, 1:], row[:, :-1]].mean(1) * row.shape[1] ** 0.5


def judge(n, length, price, certainty=4.0):
    one, two = torch.randint(7, (2, n, length))
    apart = true_cost(one, price) - true_cost(two, price)
    return one, two, (torch.rand(n) < torch.sigmoid(certainty * apart)).float(), (apart > 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    price = torch.randn(7, 7)
    model = Cost()
    exam = judge(1500, 10, price)
    step = 0
    for length, steps, rate in ((4, 300, 4e-3), (7, 300, 3e-3), (10, 400, 2e-3)):
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
        for _ in range(steps):
            one, two, says, _ = judge(128, length, price)
            loss = F.binary_cross_entropy_with_logits(4 * (model(one) - model(two)), says)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % 40 == 0:
                with torch.no_grad():
                    agree = ((model(exam[0]) > model(exam[1])) == exam[3]).float().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  agreement {agree:.4f}")


main()
