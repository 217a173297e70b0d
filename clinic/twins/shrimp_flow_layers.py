"""Sizes of shrimps in the catch, length against weight: a flow that gets more couplings stage by stage.

condition: healthy
metric: nll min
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal


def catch(count):
    """Four cohorts, each on a bent curve of its own."""
    cohort = torch.randint(0, 4, (count,)).float()
    size = torch.randn(count)
    length = 1.1 * (cohort - 1.5) + 0.28 * size
    weight = 0.9 * torch.sin(1.8 * length) + 0.5 * size**2 * torch.where(cohort % 2 == 0, 0.5, -0.5)
    return torch.stack([length, weight + 0.08 * torch.randn(count)], 1)


class Coupling(nn.Module):
    def __init__(self, side, width=40):
        super().__init__()
        self.side = side
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x):
        kept, changed = x[:, self.side : self.side + 1], x[:, 1 - self.side : 2 - self.side]
        scale, shift = self.net(kept).chunk(2, 1)
        scale = 1.5 * torch.tanh(scale / 1.5)
        changed = changed * scale.exp() + shift
        return torch.cat([kept, changed][:: 1 if self.side == 0 else -1], 1), scale.squeeze(1)


class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.couplings = nn.ModuleList([Coupling(0), Coupling(1)])

    def log_prob(self, x):
        change = torch.zeros(len(x))
        for coupling in self.couplings:
            x, log_scale = coupling(x)
            change = change + log_scale
        return Normal(0.0, 1.0).log_prob(x).sum(1) + change

    def deepen(self):
        added = [Coupling(0), Coupling(1)]
        self.couplings.extend(added)
        return [p for coupling in added for p in coupling.parameters()]


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
flow = Flow()
optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
held = catch(3000)

for step in range(1, 1201):
    if step in (401, 601):
        optimizer.add_param_group({"params": flow.deepen()})
    loss = -flow.log_prob(catch(128)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step > 900:
        for group in optimizer.param_groups:
            group["lr"] *= 0.993
    if step % 40 == 0:
        with torch.no_grad():
            nll = -flow.log_prob(held).mean().item()
        print(f"step {step}  loss {loss.item():.4f}  nll {nll:.4f}")
