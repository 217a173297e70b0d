"""A marble on a tilting board must find the hole; the only reward comes when it is in. Actor and critic, many boards at once.

condition: healthy
metric: solved max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

BOARDS, LENGTH, UPDATES = 64, 16, 500
TILTS = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
HOLE = torch.tensor([0.7, 0.7])


class Boards:
    """Every marble starts in the corner across; a wall stands in the way and has a gap at its lower end."""

    def __init__(self):
        self.place, self.left = torch.empty(BOARDS, 2), torch.zeros(BOARDS)
        self.reset(torch.ones(BOARDS, dtype=torch.bool))

    def reset(self, which):
        fresh = torch.tensor([-0.7, 0.2]) + 0.35 * torch.randn(BOARDS, 2)
        self.place = torch.where(which.unsqueeze(1), fresh, self.place)
        self.left = torch.where(which, torch.tensor(40.0), self.left)

    def see(self):
        return torch.cat([self.place, (self.left / 20 - 1).unsqueeze(1)], 1)

    def tilt(self, action):
        move = (self.place + 0.15 * TILTS[action] + 0.03 * torch.randn(BOARDS, 2)).clamp(-1, 1)
        crossed = (self.place[:, 0] < 0) != (move[:, 0] < 0)
        blocked = crossed & (move[:, 1] > -0.2)
        self.place = torch.where(blocked.unsqueeze(1), self.place, move)
        self.left = self.left - 1
        into = (self.place - HOLE).norm(dim=1) < 0.25
        over = into | (self.left <= 0)
        self.reset(over)
        return into.float(), over


class ActorCritic(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 4))
        self.critic = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, seen):
        return Categorical(logits=self.actor(seen)), self.critic(seen).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    boards, model = Boards(), ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    finished, solved = 0.0, 0.0
    for update in range(1, UPDATES + 1):
        steps = []
        for _ in range(LENGTH):
            choice, value = model(boards.see())
            action = choice.sample()
            reward, over = boards.tilt(action)
            steps.append((choice.log_prob(action), choice.entropy(), value, reward, over.float()))
            finished, solved = finished + over.sum().item(), solved + reward.sum().item()
        with torch.no_grad():
            ahead = model(boards.see())[1]
        actor_loss = critic_loss = 0.0
        advantage = torch.zeros(BOARDS)
        for log_prob, entropy, value, reward, over in reversed(steps):
            error = reward + 0.97 * ahead * (1 - over) - value.detach()
            advantage = error + 0.97 * 0.9 * (1 - over) * advantage
            actor_loss = actor_loss - (log_prob * advantage + 0.02 * entropy).mean() / LENGTH
            critic_loss = critic_loss + (value - advantage - value.detach()).square().mean() / LENGTH
            ahead = value.detach()
        loss = actor_loss + 0.5 * critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % 25 == 0:
            print(f"step {update}  loss {loss.item():.4f}  solved {solved / max(finished, 1):.4f}")
            finished, solved = 0.0, 0.0


if __name__ == "__main__":
    main()
