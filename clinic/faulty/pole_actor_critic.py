"""Actor and critic learn to hold a pole upright: a discretised pendulum pushed left or right.

condition: frozen-parameters
accepts: frozen-parameters
allows: stalled
metric: reward max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

WALKERS, HORIZON = 32, 25


def mlp(outputs):
    return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, outputs))


def push(state, action):
    """The pole's angle and speed after a push of one time step."""
    angle, speed = state.unbind(1)
    speed = speed + 0.1 * (9.8 * torch.sin(angle) * 0.5 + 4.0 * (action.float() - 1))
    return torch.stack([angle + 0.1 * speed, speed], 1)


def episode(actor):
    state = 0.3 * torch.randn(WALKERS, 2)
    states, actions, rewards = [], [], []
    for _ in range(HORIZON):
        with torch.no_grad():
            action = Categorical(logits=actor(state)).sample()
        states.append(state)
        actions.append(action)
        state = push(state, action).clamp(-3, 3)
        rewards.append((state[:, 0].abs() < 0.4).float())
    return torch.stack(states), torch.stack(actions), torch.stack(rewards)


def returns(rewards, discount=0.9):
    total, out = torch.zeros(WALKERS), []
    for reward in reversed(rewards):
        total = reward + discount * total
        out.append(total)
    return torch.stack(out[::-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    actor, critic = mlp(3), mlp(1)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=1e-2)
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)

    for step in range(1, 201):
        states, actions, rewards = episode(actor)
        target = returns(rewards)
        value = critic(states).squeeze(-1)
        critic_loss = nn.functional.mse_loss(value, target)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()

        advantage = target - value.detach()
        actor_loss = -(Categorical(logits=actor(states)).log_prob(actions) * advantage).mean()
        actor_optimizer.zero_grad()
        actor_loss.backward()
        critic_optimizer.step()
        if step % 10 == 0:
            print(f"step {step}  critic {critic_loss.item():.3f}  reward {rewards.mean().item():.4f}")


if __name__ == "__main__":
    main()
