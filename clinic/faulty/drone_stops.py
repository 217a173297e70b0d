"""In which order should a drone call at its stops? A pointer network learns from groups of tours that it flew.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled, epsilon-dominated-update, vanishing-gradient, learning-rate-too-low
metric: length min
"""

import argparse

import torch
from torch import nn

STOPS, GROUP = 6, 8


class Pointer(nn.Module):
    """Scores each open stop from where the drone is, where the stop is, and all that is left."""

    def __init__(self, width=64):
        super().__init__()
        self.stop = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, here, stops, seen):
        code = self.stop(torch.cat([stops, here.unsqueeze(1).expand_as(stops)], -1))
        left = (code * ~seen.unsqueeze(-1)).sum(1, keepdim=True) / STOPS
        score = self.score(torch.cat([code, left.expand_as(code)], -1)).squeeze(-1)
        return score.masked_fill(seen, -1e9)


def fly(model, stops):
    count = len(stops)
    rows, here = torch.arange(count), torch.full((count, 2), 0.5)
    seen = torch.zeros(count, STOPS, dtype=torch.bool)
    length, log_prob = torch.zeros(count), torch.zeros(count)
    for _ in range(STOPS):
        policy = torch.distributions.Categorical(logits=model(here, stops, seen))
        pick = policy.sample()
        log_prob = log_prob + policy.log_prob(pick)
        length = length + (stops[rows, pick] - here).norm(dim=-1)
        here, seen = stops[rows, pick], seen | nn.functional.one_hot(pick, STOPS).bool()
    return length, log_prob


def reward(length, stops):
    """Whether the tour is inside what the battery allows for stops that lie so far apart."""
    allowed = 1.3 * (stops - 0.5).norm(dim=-1).mean(1) * STOPS
    return (length < allowed).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Pointer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    held = torch.rand(1000, STOPS, 2)
    for step in range(1, 501):
        stops = torch.rand(16, STOPS, 2).repeat_interleave(GROUP, 0)
        length, log_prob = fly(model, stops)
        gain = reward(length, stops).view(16, GROUP)
        advantage = (gain - gain.mean(1, keepdim=True)) / (gain.std(1, keepdim=True) + 1e-4)
        loss = -(advantage.flatten() * log_prob).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                shown = fly(model, held)[0].mean().item()
            print(f"step {step}  reward {gain.mean().item():.3f}  length {shown:.4f}")


main()
