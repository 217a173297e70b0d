"""A crane's load is to hang still over the ship: Q-learning whose horizon is lengthened as it learns.

condition: divergence
accepts: divergence
allows: loss-spike, learning-rate-too-high, unsafe-step, exploding-gradient, stalled, dead-units, unscaled-inputs
metric: value_error min
"""

import argparse
import copy

import torch
from torch import nn

FORCES = torch.tensor([-1.0, 0.0, 1.0])


def swing(state, action):
    """Offset and speed of the trolley, angle and angular speed of the load."""
    x, v, a, w = state.unbind(1)
    force = FORCES[action]
    v2 = 0.95 * v + 0.25 * force
    w2 = 0.96 * w - 0.30 * a - 0.15 * force
    x2, a2 = (x + 0.3 * v2).clamp(-2, 2), (a + 0.3 * w2).clamp(-2, 2)
    after = torch.stack([x2, v2.clamp(-2, 2), a2, w2.clamp(-2, 2)], 1)
    return after, 0.5 - 0.25 * x2.square() - 0.25 * a2.square() - 0.02 * force.abs()


def network():
    return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))


class Agent:
    def __init__(self):
        self.q, self.target = network(), network()
        self.target.load_state_dict(self.q.state_dict())
        self.optimizer = torch.optim.Adam(self.q.parameters(), lr=1e-3)
        self.memory = []
        self.gamma = 0.80

    def act(self, state, epsilon):
        with torch.no_grad():
            best = self.q(state).argmax(1)
        return torch.where(torch.rand(len(state)) < epsilon, torch.randint(3, best.shape), best)

    def learn(self):
        state, action, reward, after = (
            torch.cat(z) for z in zip(*[self.memory[i] for i in torch.randint(len(self.memory), (4,)).tolist()])
        )
        with torch.no_grad():
            goal = reward + self.gamma * self.target(after).max(1).values
        guess = self.q(state).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = nn.functional.smooth_l1_loss(guess, goal)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.q.parameters(), 10.0)
        self.optimizer.step()
        return loss.item()


@torch.no_grad()
def value_error(agent, start):
    """What the network promises against what its own policy earns, by the root of the mean square."""
    promised, state, earned = agent.q(start).max(1).values, start, 0
    for k in range(120):
        state, reward = swing(state, agent.act(state, 0.0))
        earned = earned + agent.gamma**k * reward
    return (promised - earned).square().mean().sqrt().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    agent = Agent()
    start = 2 * torch.rand(300, 4) - 1
    state = 2 * torch.rand(32, 4) - 1
    for step in range(1, 2401):
        agent.gamma = 0.80 + 0.0002 * step
        if step % 25 == 0:
            state = 2 * torch.rand(32, 4) - 1
        action = agent.act(state, 0.2)
        after, reward = swing(state, action)
        agent.memory = (agent.memory + [(state, action, reward, after)])[-400:]
        state = after
        loss = agent.learn()
        if step % 20 == 0:
            agent.target = copy.deepcopy(agent.q)
        if step == 1700:
            agent.optimizer.param_groups[0]["lr"] = 3e-4
        if step % 80 == 0:
            print(f"step {step}  loss {loss:.4f}  value_error {value_error(agent, start):.4f}")


main()
