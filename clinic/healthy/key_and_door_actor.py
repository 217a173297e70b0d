"""Find the key, then the door: a policy network in a small maze, rewarded at the door only. Advantage actor-critic.

condition: healthy
metric: solved max
"""

import argparse

import torch
from torch import nn

SIDE, LIMIT = 4, 40
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])
KEY, DOOR = torch.tensor([3, 0]), torch.tensor([0, 3])


class Mazes:
    """Many mazes at once; an episode ends at the door with the key in hand, or after LIMIT moves."""

    def __init__(self, count):
        self.at = torch.randint(SIDE, (count, 2))
        self.key = torch.zeros(count, dtype=torch.bool)
        self.age = torch.zeros(count)

    def seen(self):
        place = nn.functional.one_hot(self.at[:, 0] * SIDE + self.at[:, 1], SIDE * SIDE).float()
        return torch.cat([place, place * self.key.unsqueeze(1)], 1)

    def move(self, action):
        self.at = (self.at + MOVES[action]).clamp(0, SIDE - 1)
        self.age += 1
        self.key |= (self.at == KEY).all(1)
        home = self.key & (self.at == DOOR).all(1)
        over = home | (self.age >= LIMIT)
        fresh = torch.randint(SIDE, self.at.shape)
        self.at = torch.where(over.unsqueeze(1), fresh, self.at)
        self.key &= ~over
        self.age *= ~over
        return home.float(), over


class ActorCritic(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * SIDE * SIDE, width), nn.Tanh())
        self.actor, self.critic = nn.Linear(width, 4), nn.Linear(width, 1)

    def forward(self, seen):
        hidden = self.body(seen)
        return torch.distributions.Categorical(logits=self.actor(hidden)), self.critic(hidden).squeeze(1)


def collect(model, mazes, length):
    rows = []
    for _ in range(length):
        seen = mazes.seen()
        with torch.no_grad():
            action = model(seen)[0].sample()
        rows.append((seen, action, *mazes.move(action)))
    return [torch.stack(part) for part in zip(*rows, strict=False)]


def main(seed, gamma=0.95, length=16):
    torch.manual_seed(seed)
    model = ActorCritic()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    mazes = Mazes(96)
    solved = 0.0
    for step in range(1, 321):
        seen, action, reward, over = collect(model, mazes, length)
        with torch.no_grad():
            back, goal = model(mazes.seen())[1], []
            for r, o in zip(reward.flip(0), over.flip(0), strict=False):
                back = r + gamma * back * ~o
                goal.append(back)
            goal = torch.stack(goal[::-1]).flatten()
        choice, value = model(seen.flatten(0, 1))
        advantage = goal - value.detach()
        loss = -(advantage * choice.log_prob(action.flatten())).mean()
        loss = loss + 0.5 * (goal - value).square().mean() - 0.01 * choice.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        solved = 0.9 * solved + 0.1 * (reward.sum() / over.sum().clamp(min=1)).item()
        if step % 20 == 0:
            print(f"step {step}  loss {loss.item():.4f}  solved {solved:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
