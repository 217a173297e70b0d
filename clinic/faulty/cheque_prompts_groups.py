"""Amounts on cheques: a policy writes five digits for a prompt, eight tries each, rewards relative to their group.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled, softmax-collapse, vanishing-gradient, epsilon-dominated-update
metric: reward max
"""

import argparse

import torch
from torch import nn

GROUP, DIGITS = 8, 5


class Scribe(nn.Module):
    def __init__(self, inputs=50, width=96):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, DIGITS * 10))

    def forward(self, prompt):
        return torch.distributions.Categorical(logits=self.net(prompt).unflatten(-1, (DIGITS, 10)))


def prompts(count, spread):
    amount = torch.randint(10, (count, DIGITS))
    amount[:, spread:] = 0
    noise = 0.15 * torch.randn(count, DIGITS * 10)
    return nn.functional.one_hot(amount, 10).flatten(1).float() + noise, amount


def judge(written, amount):
    return (written == amount[:, None]).all(-1).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    policy = Scribe()
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    test_x, test_amount = prompts(500, DIGITS)
    for step in range(1, 601):
        x, amount = prompts(48, DIGITS)
        with torch.no_grad():
            written = policy(x).sample((GROUP,)).transpose(0, 1)
        rewards = judge(written, amount)
        advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        log_prob = policy(x[:, None]).log_prob(written).sum(-1)
        loss = -(advantage * log_prob).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                reward = (policy(test_x).sample() == test_amount).float().mean().item()
            print(f"step {step}  loss {loss.item():+.4f}  reward {reward:.4f}")


if __name__ == "__main__":
    main()
