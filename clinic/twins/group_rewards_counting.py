"""Group-relative policy optimisation of a policy that counts: eight rollouts a prompt, right or wrong.

condition: healthy
metric: accuracy max
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributions import Categorical


@dataclass
class Args:
    groups: int = 24
    rollouts: int = 8
    updates: int = 400
    lr: float = 2e-3
    do_sample: bool = True


class Counter(nn.Module):
    """Reads a row of nine symbols; its action is how many of them are the asked one."""

    def __init__(self, symbols=3, dim=24):
        super().__init__()
        self.symbol = nn.Embedding(symbols, dim)
        self.asked = nn.Embedding(symbols, dim)
        self.body = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.policy = nn.Linear(64, 6)

    def forward(self, row, asked):
        match = torch.tanh(self.symbol(row) * self.asked(asked).unsqueeze(1))
        return self.policy(self.body(match.mean(1)))


def prompts(count):
    row, asked = torch.randint(3, (count, 9)), torch.randint(3, (count,))
    return row, asked, (row == asked.unsqueeze(1)).sum(1).clamp(max=5)


def rollout(model, cfg):
    row, asked, answer = prompts(cfg.groups)
    logits = model(row, asked)
    with torch.no_grad():
        if cfg.do_sample:
            actions = Categorical(logits=logits).sample((cfg.rollouts,))
        else:
            actions = logits.argmax(1).expand(cfg.rollouts, -1)
        rewards = (actions == answer).float()
    return logits, actions, rewards


def policy_loss(logits, actions, rewards):
    advantages = rewards - rewards.mean(0)
    advantages = advantages / (rewards.std(0) + 1e-6)
    log_probs = Categorical(logits=logits).log_prob(actions)
    return -(advantages * log_probs).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    cfg = Args()
    model = Counter()
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    row, asked, answer = prompts(500)
    for update in range(1, cfg.updates + 1):
        logits, actions, rewards = rollout(model, cfg)
        loss = policy_loss(logits, actions, rewards)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % 16 == 0:
            with torch.no_grad():
                accuracy = (model(row, asked).argmax(1) == answer).float().mean().item()
            print(f"update {update}  reward {rewards.mean().item():.3f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
