"""A network learns how a driven pendulum moves from one time step to the next, from rolled-out trajectories.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

DT = 0.15


def slope(state, t):
    first, second, v, w = state.unbind(-1)
    pull = 1.5 * torch.sin(first - second)
    drive = 0.8 * torch.cos(1.3 * t)
    return torch.stack([v, w, -2 * first.sin() - pull - 0.05 * v + drive, -1.4 * second.sin() + pull - 0.05 * w], -1)


def trajectories(n, steps, generator):
    """Two coupled pendulums by the classical Runge-Kutta method."""
    state = torch.randn(n, 4, generator=generator) * torch.tensor([1.5, 1.5, 1.0, 1.0])
    t = 5 * torch.rand(n, generator=generator)
    states, times = [state], [t]
    for _ in range(steps):
        a = slope(state, t)
        b = slope(state + DT / 2 * a, t + DT / 2)
        c = slope(state + DT / 2 * b, t + DT / 2)
        d = slope(state + DT * c, t + DT)
        state, t = state + DT / 6 * (a + 2 * b + 2 * c + d), t + DT
        states.append(state)
        times.append(t)
    return torch.stack(states, 1), torch.stack(times, 1)


class Stepper(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.inward = nn.Linear(8, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outward = nn.Linear(hidden, 4)

    def forward(self, state, t):
        angles, speeds = state.split(2, dim=-1)
        drive = torch.stack([torch.cos(1.3 * t), torch.sin(1.3 * t)], -1)
        h = torch.tanh(self.inward(torch.cat([angles.sin(), angles.cos(), speeds, drive], -1)))
        return state + self.outward(torch.tanh(self.middle(h)))


def roll(model, states, times):
    state, path = states[:, 0], []
    for k in range(states.shape[1] - 1):
        state = model(state, times[:, k])
        path.append(state)
    return torch.stack(path, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    states, times = trajectories(300, 60, generator)
    val_states, val_times = trajectories(200, 8, generator)
    model = Stepper()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    loss_fn = nn.MSELoss()
    length = 6
    for step in range(1, 201):
        rows = torch.randint(len(states), (32,), generator=generator)
        start = int(torch.randint(states.shape[1] - length, (1,), generator=generator))
        part, when = states[rows, start : start + length + 1], times[rows, start : start + length + 1]
        loss = loss_fn(roll(model, part, when), part[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_error = (roll(model, val_states, val_times) - val_states[:, 1:]).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
