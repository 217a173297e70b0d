"""A robot fetches boxes among shelves: PPO on a grid, many robots at once, exploration bonus taken back to 0.

condition: healthy
metric: steps_needed min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIDE, LIMIT, ROLL = 7, 40, 20
MOVES = torch.tensor([[0, 1], [1, 0], [0, -1], [-1, 0]])


class Hall:
    def __init__(self, robots):
        self.wall = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        self.wall[[1, 2, 4, 5], 2] = self.wall[1:6, 4] = True
        self.free = (~self.wall).nonzero()
        self.at, self.goal = torch.zeros(2, robots, 2, dtype=torch.long)
        self.age = torch.full((robots,), 0)
        self.renew(self.age == 0)

    def renew(self, who):
        for place in (self.at, self.goal):
            place[who] = self.free[torch.randint(len(self.free), (int(who.sum()),))]
        self.age[who] = 0

    def view(self):
        place = F.one_hot(torch.cat([self.at, self.goal], 1), SIDE).flatten(1)
        return torch.cat([place, (self.at - self.goal).sign()], 1).float()

    def move(self, action):
        new = (self.at + MOVES[action]).clamp(0, SIDE - 1)
        self.at = torch.where(self.wall[new[:, 0], new[:, 1], None], self.at, new)
        self.age += 1
        there = (self.at == self.goal).all(1)
        ended = there | (self.age >= LIMIT)
        age = self.age[ended]
        self.renew(ended)
        return there.float() - 0.02, ended, age


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(30, 96), nn.Tanh(), nn.Linear(96, 96), nn.Tanh())
        self.act, self.value = nn.Linear(96, 4), nn.Linear(96, 1)
        nn.init.orthogonal_(self.act.weight, 0.01)

    def forward(self, view):
        h = self.body(view)
        return torch.distributions.Categorical(logits=self.act(h)), self.value(h)[:, 0]


@torch.no_grad()
def collect(hall, policy, gamma=0.97, trace=0.95):
    rows = []
    for _ in range(ROLL):
        view = hall.view()
        choice, value = policy(view)
        action = choice.sample()
        rows.append((view, action, choice.log_prob(action), value, *hall.move(action)))
    views, actions, logs, values, rewards, ends, ages = zip(*rows, strict=True)
    ahead, gain, gains = policy(hall.view())[1], 0.0, []
    for t in reversed(range(ROLL)):
        gain = rewards[t] + gamma * ~ends[t] * (ahead + trace * gain) - values[t]
        ahead, gains = values[t], [gain, *gains]
    return *map(torch.cat, (views, actions, logs, values, gains)), torch.cat(ages).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    hall, policy, rounds = Hall(64), Policy(), 120
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3, eps=1e-5)
    for turn in range(1, rounds + 1):
        optimizer.param_groups[0]["lr"] = 2e-3 * (left := 1 - (turn - 1) / rounds)
        view, action, old, value, gain, age = collect(hall, policy)
        target, gain = gain + value, (gain - gain.mean()) / (gain.std() + 1e-8)
        for _ in range(3):
            for rows in torch.randperm(len(view)).split(320):
                choice, guess = policy(view[rows])
                ratio = (choice.log_prob(action[rows]) - old[rows]).exp()
                surrogate = torch.min(ratio * gain[rows], ratio.clamp(0.8, 1.2) * gain[rows]).mean()
                bonus = 0.01 * max(0.0, left - 0.3) * choice.entropy().mean()
                loss = 0.5 * (guess - target[rows]).pow(2).mean() - surrogate - bonus
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), 2.0)
                optimizer.step()
        if turn % 6 == 0:
            print(f"round {turn}  entropy {choice.entropy().mean().item():.3f}  steps_needed {age:.2f}")


if __name__ == "__main__":
    main()
