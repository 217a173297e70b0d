"""A glider looks for the thermal that carries it: policy gradient with a learned baseline on gusty flights.

condition: healthy
metric: height max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal

FLIGHTS, SECONDS, GAMMA = 24, 25, 0.95


class Sky:
    """Lift falls off with the distance from a thermal that drifts; the vario is noisy."""

    def __init__(self, flights):
        self.place = 2 * torch.randn(flights)
        self.thermal = torch.randn(flights)
        self.drift = 0.1 * torch.randn(flights)
        self.last = torch.zeros(flights)

    def look(self):
        gap = self.place - self.thermal + 0.2 * torch.randn_like(self.place)
        return torch.stack([gap, self.last, self.drift * 10], 1)

    def fly(self, bank):
        self.thermal = self.thermal + self.drift
        self.place = self.place + 0.4 * bank.clamp(-1, 1) + 0.1 * torch.randn_like(bank)
        lift = 1.5 * torch.exp(-(self.place - self.thermal).pow(2)) - 0.5
        self.last = lift + 0.5 * torch.randn_like(lift)
        return self.last - 0.05 * bank.pow(2)


class Pilot(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.bank, self.worth = nn.Linear(width, 1), nn.Linear(width, 1)
        self.spread = nn.Parameter(torch.tensor(-0.5))

    def forward(self, seen):
        h = self.body(seen)
        return Normal(self.bank(h).squeeze(-1), self.spread.exp()), self.worth(h).squeeze(-1)


def episode(model):
    sky = Sky(FLIGHTS)
    log_probs, worths, rewards = [], [], []
    for _ in range(SECONDS):
        policy, worth = model(sky.look())
        bank = policy.sample()
        rewards.append(sky.fly(bank))
        log_probs.append(policy.log_prob(bank))
        worths.append(worth)
    returns, total = [], torch.zeros(FLIGHTS)
    for reward in reversed(rewards):
        total = reward + GAMMA * total
        returns.append(total)
    return torch.stack(log_probs), torch.stack(worths), torch.stack(returns[::-1]), torch.stack(rewards).sum(0)


def main(seed, updates=240):
    torch.manual_seed(seed)
    model = Pilot()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    heights = []
    for update in range(1, updates + 1):
        log_prob, worth, returns, gained = episode(model)
        advantage = returns - worth.detach()
        advantage = (advantage - advantage.mean()) / advantage.std()
        loss = -(advantage * log_prob).mean() + 0.2 * (returns - worth).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        heights.append(gained.mean().item())
        if update % 12 == 0:
            print(f"update {update}  loss {loss.item():.4f}  height {sum(heights[-12:]) / 12:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
