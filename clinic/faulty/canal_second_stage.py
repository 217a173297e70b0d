"""Level of a canal behind a chain of locks: a diagonal state-space model, pre-trained and then fitted to one canal.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: stalled, learning-rate-too-low, frozen-parameters
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class StateSpace(nn.Module):
    def __init__(self, inputs, states=32):
        super().__init__()
        self.log_rate = nn.Parameter(torch.linspace(-3.0, 0.5, states))
        self.into = nn.Linear(inputs, states)
        self.mix = nn.Linear(states, states)
        self.out = nn.Linear(states, 1)

    def forward(self, flows):
        keep = torch.exp(-self.log_rate.exp())
        drive = (1 - keep) * self.into(flows)
        state, states = torch.zeros_like(drive[:, 0]), []
        for t in range(flows.shape[1]):
            state = keep * state + drive[:, t]
            states.append(state)
        return self.out(F.silu(self.mix(torch.stack(states, 1)))).squeeze(-1)


def canal(count, leak, gain, length=24):
    flows = torch.randn(count, length, 2).cumsum(1) / 2
    level, levels = torch.zeros(count), []
    for t in range(length):
        level = (1 - leak) * level + gain * torch.tanh(flows[:, t, 0]) - 0.3 * flows[:, t, 1].clamp(-1, 1)
        levels.append(level)
    return flows, torch.stack(levels, 1) + 0.05 * torch.randn(count, length)


def fit(model, make, steps, rate, kind, start=0):
    flows, levels = make(3000)
    held, held_levels = make(500)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    for step in range(start + 1, start + steps + 1):
        rows = torch.randint(len(flows), (64,))
        loss = F.mse_loss(model(flows[rows].to(kind)).float(), levels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == start + 1:
            with torch.no_grad():
                val_loss = F.mse_loss(model(held.to(kind)).float(), held_levels).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = StateSpace(2)
    fit(model, lambda n: canal(n, 0.3, 0.5), 250, 5e-3, torch.float32)
    fit(model.bfloat16(), lambda n: canal(n, 0.1, -0.4), 600, 1e-3, torch.bfloat16, start=250)


main()
