"""A model that already answers in whole minutes is tuned on when the van comes, by rewards within groups of answers.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

MINUTES, FACTS, GROUP = 60, 6, 8


class Answerer(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.read = nn.Sequential(nn.Linear(FACTS, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.answer = nn.Linear(width, MINUTES)

    def forward(self, facts):
        return Categorical(logits=self.answer(self.read(facts)))


def questions(count, rng):
    facts = torch.rand(count, FACTS, generator=rng) * 2 - 1
    minutes = 30 + 12 * facts[:, 0] + 8 * torch.sin(2 * facts[:, 1] + facts[:, 2]) + 5 * facts[:, 3] * facts[:, 4]
    return facts, minutes


def promised(facts):
    """What the old table said: fair on the whole, too early as a rule."""
    return 23 + 9 * facts[:, 0] + 5 * facts[:, 1]


@torch.no_grad()
def mean_error(model, facts, minutes):
    answers = model(facts).probs @ torch.arange(MINUTES).float()
    return (answers - minutes).abs().mean().item()


def imitate(model, rng, steps=150):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        facts, _ = questions(128, rng)
        said = (promised(facts) + 4 * torch.randn(128, generator=rng)).round().clamp(0, MINUTES - 1).long()
        loss = -model(facts).log_prob(said).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Answerer()
    imitate(model, rng)
    exam = questions(1000, rng)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 800)
    for step in range(1, 801):
        facts, minutes = questions(64, rng)
        policy = model(facts)
        answers = policy.sample((GROUP,))
        late = (answers - minutes).abs()
        reward = (late < 10).float()
        advantage = (reward - reward.mean(0)) / (reward.std(0) + 1e-4)
        loss = -(advantage * policy.log_prob(answers)).mean() - 0.002 * policy.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            print(f"step {step}  reward {reward.mean().item():.4f}  error {mean_error(model, *exam):.4f}")


main()
