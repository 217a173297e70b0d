"""When does a pump fail? Cox's partial likelihood on censored life times, whole cohorts as batches.

condition: healthy
metric: concordance max
"""

import argparse

import torch
from torch import nn


class Pumps:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def cohort(self, count):
        x = torch.randn(count, 8, generator=self.generator)
        risk = x[:, 0] - 0.8 * x[:, 1] * x[:, 2] + 0.7 * torch.tanh(2 * x[:, 3])
        life = -torch.log(torch.rand(count, generator=self.generator)) * torch.exp(-1.5 * risk)
        watched = -2 * torch.log(torch.rand(count, generator=self.generator))
        return x, torch.minimum(life, watched), life <= watched


class PartialLikelihood(nn.Module):
    def forward(self, risk, time, failed):
        order = time.argsort(descending=True)
        risk, failed = risk[order], failed[order]
        return (torch.logcumsumexp(risk, 0) - risk)[failed].mean()


@torch.no_grad()
def concordance(risk, time, failed):
    earlier = (time[:, None] < time[None, :]) & failed[:, None]
    return (earlier & (risk[:, None] > risk[None, :])).sum().item() / earlier.sum().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    pumps = Pumps(seed)
    val = pumps.cohort(400)
    model = nn.Sequential(nn.Linear(8, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1, bias=False))
    loss_fn = PartialLikelihood()
    optimizer = torch.optim.Adamax(model.parameters(), lr=4e-3)
    for step in range(1, 401):
        x, time, failed = pumps.cohort(128)
        loss = loss_fn(model(x).squeeze(1), time, failed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            score = concordance(model(val[0]).squeeze(1), val[1], val[2])
            print(f"step {step}  loss {loss.item():.4f}  concordance {score:.4f}")


main()
