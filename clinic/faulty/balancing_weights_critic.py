"""Weights for a survey's controls so that they match the treated: the critic looks for a column out of balance.

condition: adversarial-rotation
accepts: adversarial-rotation
allows: learning-rate-too-high, divergence, stalled, unsafe-step, loss-spike
metric: imbalance min
"""

import argparse

import torch
from torch import nn


def survey(n):
    columns = torch.randn(n, 6)
    columns[:, 3] = (columns[:, 3] > 0.4).float()
    score = 0.5 * columns[:, 0] - 0.4 * columns[:, 1] + 0.4 * columns[:, 3]
    treated = torch.rand(n) < torch.sigmoid(score - 0.5)
    return columns[treated], columns[~treated]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    treated, control = survey(1500)
    target = treated.mean(0)
    spread = control.std(0)
    model = nn.Linear(6, 1)
    nn.init.zeros_(model.weight)
    critic = nn.Linear(6, 1, bias=False)
    nn.init.normal_(critic.weight, std=0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.03)

    def game():
        weight = torch.softmax(model((control - target) / spread).squeeze(1), 0)
        gap = ((weight @ control) - target) / spread
        return critic(gap).sum(), gap

    for step in range(1, 1201):
        value, gap = game()
        optimizer.zero_grad()
        critic_optimizer.zero_grad()
        value.backward()
        for p in critic.parameters():
            p.grad.neg_()
        optimizer.step()
        critic_optimizer.step()
        if step % 40 == 0:
            print(f"step {step}  value {value.item():.4f}  imbalance {gap.norm().item():.5f}")


if __name__ == "__main__":
    main()
