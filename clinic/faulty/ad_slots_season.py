"""Which of eight banners is shown to which visitor? REINFORCE on the clicks' worth; tastes change with the season.

condition: softmax-collapse
accepts: softmax-collapse
allows: stalled
metric: earned max
"""

import argparse

import torch
from torch import nn

BANNERS, GROUPS = 8, 16


class Visitors:
    def __init__(self):
        self.taste = {season: torch.randn(GROUPS, BANNERS) for season in ("summer", "winter")}

    def draw(self, count):
        return torch.randint(GROUPS, (count,))

    def worth(self, season, visitor):
        """Cents per view."""
        return 25 + 15 * torch.tanh(self.taste[season][visitor])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Embedding(GROUPS, 32), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, BANNERS))

    def forward(self, visitor):
        return torch.distributions.Categorical(logits=self.net(visitor))


def reinforce(policy, visitor, pay, bonus):
    choice = policy(visitor)
    shown = choice.sample()
    reward = pay.gather(1, shown.unsqueeze(1)).squeeze(1) + 4 * torch.randn(len(visitor))
    advantage = (reward - reward.mean()) / reward.std()
    return -(advantage * choice.log_prob(shown)).mean() - bonus * choice.entropy().mean()


def train(steps=600, bonus=0.0):
    visitors = Visitors()
    policy = Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    exam = visitors.draw(1000)
    for step in range(1, steps + 1):
        season = "summer" if step <= steps // 2 else "winter"
        visitor = visitors.draw(128)
        loss = reinforce(policy, visitor, visitors.worth(season, visitor), bonus)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                pay = visitors.worth(season, exam)
                earned = (policy(exam).probs * pay).sum(1).mean() / pay.amax(1).mean()
            print(f"step {step}  {season}  loss {loss.item():.4f}  earned {earned.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train()
