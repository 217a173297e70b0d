"""Which of eight offers does a kiosk show? A policy learns from sales, and customers change with the season.

condition: healthy
metric: sales max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

OFFERS, FEATURES = 8, 5


class Customers:
    def __init__(self):
        self.winter = torch.randn(FEATURES, OFFERS)
        self.summer = torch.randn(FEATURES, OFFERS)

    def arrive(self, count):
        return torch.randn(count, FEATURES)

    def value(self, who, summer):
        return torch.sigmoid(1.5 * who @ (self.summer if summer else self.winter))


class Policy(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, width), nn.Tanh(), nn.Linear(width, OFFERS))

    def forward(self, who):
        return torch.distributions.Categorical(logits=self.net(who))


customers, policy = Customers(), Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
test = customers.arrive(2000)

for step in range(1, 1601):
    summer = step > 800
    who = customers.arrive(64)
    choice = policy(who)
    offer = choice.sample()
    bought = torch.bernoulli(customers.value(who, summer).gather(1, offer.unsqueeze(1)).squeeze(1))
    advantage = (bought - bought.mean()) / (bought.std() + 1e-3)
    loss = -(advantage * choice.log_prob(offer)).mean() - 0.15 * choice.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            value = customers.value(test, summer)
            sales = value.gather(1, policy(test).logits.argmax(1, keepdim=True)).mean().item()
        print(f"step {step}  loss {loss.item():.4f}  sales {sales:.4f}")
