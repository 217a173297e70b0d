"""Curling: a policy sets speed and turn of a stone; eight stones of a group are rated against each other (GRPO).

condition: healthy
metric: miss min
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal

GROUP, SITUATIONS, ENTROPY = 8, 24, 0.002


class Skip(nn.Module):
    """Sees where the house is, the ice and the slope; gives mean and width of speed and turn."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))

    def forward(self, situation):
        mean, log_width = self.body(situation).chunk(2, -1)
        return Normal(mean, (log_width.clamp(-2.5, 1) - 0.7).exp())


def situations(n):
    return torch.rand(n, 4) * 2 - 1


def stop(situation, action):
    house, ice, slope = situation[..., :2], situation[..., 2], situation[..., 3]
    far = action[..., 0] * (1 + 0.4 * ice) - 0.3 * action[..., 1] ** 2
    side = action[..., 1] + 0.5 * slope * torch.tanh(action[..., 0])
    return (torch.stack([far, side], -1) - house).norm(dim=-1)


def rate(miss, step):
    """First the house, then as near as can be."""
    return (miss < 0.4).float() if step <= 140 else -miss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    policy = Skip()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1.5e-3)
    exam = situations(1000)
    for step in range(1, 481):
        situation = situations(SITUATIONS).unsqueeze(1).expand(-1, GROUP, -1)
        with torch.no_grad():
            old = policy(situation)
            action = old.sample()
            old_log = old.log_prob(action).sum(-1)
            reward = rate(stop(situation, action), step)
            advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)
        for _ in range(2):
            now = policy(situation)
            ratio = (now.log_prob(action).sum(-1) - old_log).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
            loss = -gain.mean() - ENTROPY * now.entropy().sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                miss = stop(exam, policy(exam).sample()).mean().item()
            print(f"step {step}  reward {reward.mean().item():.3f}  miss {miss:.4f}")


if __name__ == "__main__":
    main()
