"""Settings of five valves for a wanted flow, one after another; groups of plans are compared with each other.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled, loss-term-imbalance, vanishing-gradient, divergence
metric: miss min
"""

import argparse

import torch
from torch import nn

VALVES, NOTCHES, GROUP, ASKS = 5, 6, 12, 16
WIDTH = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.10])


def flow(plan):
    """Every valve passes more as it opens; the first two share a pipe and choke each other."""
    opened = plan.float() / (NOTCHES - 1)
    return (opened * WIDTH).sum(-1) - 0.2 * opened[..., 0] * opened[..., 1]


class Planner(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.start = nn.Sequential(nn.Linear(1, hidden), nn.Tanh())
        self.notch = nn.Embedding(NOTCHES + 1, hidden)
        self.cell = nn.GRUCell(hidden, hidden)
        self.head = nn.Linear(hidden, NOTCHES)

    def forward(self, wanted):
        h = self.start((wanted.unsqueeze(1) - 0.4) / 0.25)
        last = torch.full((len(wanted),), NOTCHES)
        plan, logp, entropy = [], 0, 0
        for _ in range(VALVES):
            h = self.cell(self.notch(last), h)
            choice = torch.distributions.Categorical(logits=self.head(h))
            last = choice.sample()
            plan.append(last)
            logp, entropy = logp + choice.log_prob(last), entropy + choice.entropy()
        return torch.stack(plan, 1), logp, entropy


def demands(n):
    return 0.1 + 0.6 * torch.rand(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Planner()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    exam = demands(1000)
    tolerance, paid = 0.30, []
    for step in range(1, 601):
        tolerance *= 0.96
        wanted = demands(ASKS).repeat_interleave(GROUP)
        plan, logp, entropy = model(wanted)
        reward = ((flow(plan) - wanted).abs() < tolerance).float()
        groups = reward.view(ASKS, GROUP)
        advantage = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
        loss = -(advantage.view(-1) * logp).mean() - 0.01 * entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        paid.append(reward.mean().item())
        if step % 30 == 0:
            with torch.no_grad():
                miss = (flow(model(exam)[0]) - exam).abs().mean().item()
            print(f"step {step}  reward {sum(paid[-30:]) / 30:.3f}  miss {miss:.4f}")


main()
