"""A recurrent network keeps in mind which of three lamps are lit, from brief pulses on their switches.

condition: bptt-explosion
accepts: bptt-explosion, exploding-gradient
allows: divergence, loss-spike, unsafe-step, saturated-units, learning-rate-too-high, edge-of-stability, stalled,
  vanishing-gradient
metric: error min
"""

import argparse
import math

import torch
from torch import nn

LAMPS = 3


def switch_presses(count, length, generator):
    """Pulses of +1 (on) and -1 (off), rare and independent; the target is the last pulse of each lamp."""
    press = (torch.rand(count, length, LAMPS, generator=generator) < 0.08).float()
    pulse = press * (2 * torch.randint(0, 2, press.shape, generator=generator) - 1)
    state, states = torch.zeros(count, LAMPS), []
    for t in range(length):
        state = torch.where(pulse[:, t] != 0, pulse[:, t], state)
        states.append(state)
    return pulse, torch.stack(states, 1)


class RateNetwork(nn.Module):
    def __init__(self, units=64, gain=1.5):
        super().__init__()
        self.recurrent = nn.Parameter(gain * torch.randn(units, units) / math.sqrt(units))
        self.input = nn.Parameter(torch.randn(LAMPS, units))
        self.readout = nn.Parameter(torch.randn(units, LAMPS) / units)

    def forward(self, pulses):
        hidden = pulses.new_zeros(len(pulses), len(self.recurrent))
        out = []
        for t in range(pulses.shape[1]):
            drive = torch.tanh(hidden) @ self.recurrent + pulses[:, t] @ self.input
            hidden = hidden + 0.5 * (drive - hidden)
            out.append(torch.tanh(hidden) @ self.readout)
        return torch.stack(out, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)

    model = RateNetwork()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    valid_pulses, valid_states = switch_presses(128, 50, generator)
    for step in range(1, arguments.steps + 1):
        pulses, states = switch_presses(32, 50, generator)
        loss = loss_fn(model(pulses), states)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if step % 10 == 0:
            with torch.no_grad():
                error = loss_fn(model(valid_pulses), valid_states)
            print(f"step {step:4d}  loss {loss.item():.4f}  error {error.item():.4f}")


if __name__ == "__main__":
    main()
