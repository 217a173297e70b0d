"""A mixture of experts for a function with four regimes: a router weighs the experts' answers.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, frozen-parameters
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def expert(features, width):
    return nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())


class Mixture(nn.Module):
    def __init__(self, features=6, width=32, experts=4):
        super().__init__()
        self.experts = [expert(features, width) for _ in range(experts)]
        self.router = nn.Linear(features, experts)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        weight = self.router(x).softmax(-1)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        return self.head(torch.einsum("be,bew->bw", weight, answers)).squeeze(-1)


def sample(count):
    x = torch.randn(count, 6)
    regime = 2 * (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    rules = torch.stack(
        [
            torch.sin(3 * x[:, 2]),
            x[:, 3] * x[:, 4],
            (x[:, 5].abs() - 0.8),
            torch.cos(2 * x[:, 2] + x[:, 3]),
        ],
        1,
    )
    return x, 1.5 * rules.gather(1, regime[:, None]).squeeze(1)


class Runner:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.train, self.val = sample(2000), sample(500)
        self.model = Mixture()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-3)
        self.loss_fn = nn.MSELoss()

    def epoch(self):
        x, y = self.train
        for rows in torch.randperm(len(x)).split(100):
            loss = self.loss_fn(self.model(x[rows]), y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def validate(self):
        x, y = self.val
        return self.loss_fn(self.model(x), y).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    runner = Runner(parser.parse_args().seed)
    for epoch in range(1, 21):
        print(f"epoch {epoch}  loss {runner.epoch():.4f}  val_loss {runner.validate():.4f}")
