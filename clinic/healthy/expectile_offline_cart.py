"""A cart learns to stop at a mark from somebody's clumsy recordings alone: implicit Q-learning.

condition: healthy
metric: cost min
"""

import argparse
import copy

import torch
from torch import nn

STEP, HORIZON = 0.15, 40


def advance(state, push):
    place, speed = state.unbind(1)
    speed = (0.97 * speed + STEP * 2.0 * push).clamp(-2, 2)
    place = (place + STEP * speed).clamp(-3, 3)
    return torch.stack([place, speed], 1), -(place.abs() + 0.1 * push**2)


def record(carts, rng):
    """A hand that pulls towards the mark, too hard, too late, and often anywhere."""
    state = (2 * torch.rand(carts, 2, generator=rng) - 1) * torch.tensor([2.5, 1.0])
    rows = []
    for _ in range(HORIZON):
        noise = torch.randn(carts, generator=rng)
        push = (-0.5 * state[:, 0] - 0.15 * state[:, 1] + 0.7 * noise).clamp(-1, 1)
        new, reward = advance(state, push)
        rows.append((state, push[:, None], reward, new))
        state = new
    return [torch.cat(part) for part in zip(*rows, strict=True)]


def net(inputs, outputs=1):
    return nn.Sequential(nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, outputs))


@torch.no_grad()
def trial(actor, state):
    total = 0.0
    for _ in range(HORIZON):
        state, reward = advance(state, torch.tanh(actor(state))[:, 0])
        total -= reward.mean().item()
    return total / HORIZON


def main(seed, gamma=0.95, expectile=0.8, sharpness=4.0):
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    states, pushes, rewards, news = record(500, rng)
    starts = (2 * torch.rand(256, 2, generator=rng) - 1) * torch.tensor([2.5, 1.0])
    critic, value, actor = net(3), net(2), net(2)
    target = copy.deepcopy(critic).requires_grad_(False)
    optimizer = torch.optim.Adam([*critic.parameters(), *value.parameters()], lr=2e-3)
    of_actor = torch.optim.Adam(actor.parameters(), lr=2e-3)
    steps = 1100
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(o, steps, eta_min=2e-5) for o in (optimizer, of_actor)]
    for step in range(1, steps + 1):
        rows = torch.randint(len(states), (200,))
        s, a, r, new = states[rows], pushes[rows], rewards[rows], news[rows]
        with torch.no_grad():
            goal = r + gamma * value(new)[:, 0]
            old = target(torch.cat([s, a], 1))[:, 0]
        gap = old - value(s)[:, 0]
        loss_value = ((expectile - (gap < 0).float()).abs() * gap**2).mean()
        loss_critic = (critic(torch.cat([s, a], 1))[:, 0] - goal).pow(2).mean()
        optimizer.zero_grad()
        (loss_value + loss_critic).backward()
        optimizer.step()
        weight = (sharpness * gap.detach()).exp().clamp(max=50.0)
        loss_actor = (weight * (torch.tanh(actor(s)) - a).pow(2)[:, 0]).mean()
        of_actor.zero_grad()
        loss_actor.backward()
        of_actor.step()
        for schedule in schedules:
            schedule.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), critic.parameters(), strict=True):
                slow.lerp_(fast, 0.01)
        if step % 55 == 0:
            print(
                f"step {step}  critic {loss_critic.item():.3f}  value {value(starts).mean().item():.2f}  cost {trial(actor, starts):.4f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
