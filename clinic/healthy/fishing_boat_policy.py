"""A fishing boat looks for the shoal and must be home before dark: policy gradient with a baseline, rewards are rare.

condition: healthy
metric: reward max
"""

import argparse

import torch
from torch import nn

SIZE, HOURS = 7, 24
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])


class Sea:
    """The shoal is at the far corner; the catch counts only if the boat is back in its harbour in time."""

    def __init__(self, boats):
        self.place = torch.zeros(boats, 2, dtype=torch.long)
        self.full = torch.zeros(boats)
        self.over = torch.zeros(boats)

    def view(self, hour):
        scaled = 2 * self.place / (SIZE - 1) - 1
        clock = torch.full((len(scaled), 1), 1 - 2 * hour / HOURS)
        return torch.cat([scaled, clock, 2 * self.full.unsqueeze(1) - 1], dim=1)

    def sail(self, move):
        self.place = (self.place + MOVES[move]).clamp(0, SIZE - 1)
        shoal = (self.place >= SIZE - 3).all(1).float()
        caught = (1 - self.full) * shoal * (1 - self.over)
        self.full = torch.maximum(self.full, shoal)
        home = self.full * (self.place.sum(1) == 0).float() * (1 - self.over)
        self.over = torch.maximum(self.over, home)
        return 0.2 * caught + home


def network(outputs):
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


class Skipper:
    def __init__(self):
        self.policy, self.value = network(4), network(1)
        with torch.no_grad():
            self.policy[-1].weight.mul_(0.1)
        self.optimizer = torch.optim.Adam(
            [{"params": self.policy.parameters(), "lr": 3e-3}, {"params": self.value.parameters(), "lr": 3e-3}]
        )

    def voyage(self, boats=64, gamma=0.98):
        sea, views, moves, rewards, alive = Sea(boats), [], [], [], []
        for hour in range(HOURS):
            view = sea.view(hour)
            with torch.no_grad():
                move = torch.distributions.Categorical(logits=self.policy(view)).sample()
            alive.append(1 - sea.over)
            views.append(view), moves.append(move), rewards.append(sea.sail(move))
        returns, total = [], torch.zeros(boats)
        for reward in reversed(rewards):
            total = reward + gamma * total
            returns.append(total)
        return torch.cat(views), torch.cat(moves), torch.cat(returns[::-1]), torch.cat(alive), sum(rewards)

    def learn(self, views, moves, returns, alive):
        policy = torch.distributions.Categorical(logits=self.policy(views))
        value = self.value(views).squeeze(1)
        advantage = (returns - value).detach()
        loss = -policy.log_prob(moves) * advantage + 0.5 * (returns - value).square() - 0.01 * policy.entropy()
        loss = (alive * loss).sum() / alive.sum()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    skipper, smooth = Skipper(), 0.0
    for step in range(1, 501):
        *experience, earned = skipper.voyage()
        loss = skipper.learn(*experience)
        smooth = 0.9 * smooth + 0.1 * earned.mean().item()
        if step % 20 == 0:
            print(f"step {step}  loss {loss:.4f}  reward {smooth:.4f}")


if __name__ == "__main__":
    main()
