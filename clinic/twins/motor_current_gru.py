"""Torque of a motor from thirty samples of its three currents, by a gated recurrent cell written from the formulas.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class GatedCell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        scale = (inputs + hidden) ** -0.5
        self.w_update = nn.Parameter(scale * torch.randn(inputs + hidden, hidden))
        self.w_reset = nn.Parameter(scale * torch.randn(inputs + hidden, hidden))
        self.w_new = nn.Parameter(scale * torch.randn(inputs + hidden, hidden))
        self.b_update, self.b_reset, self.b_new = (nn.Parameter(torch.zeros(hidden)) for _ in range(3))
        self.gate, self.squash = nn.Sigmoid(), nn.Tanh()

    def forward(self, x, h):
        both = torch.cat([x, h], 1)
        update = self.gate(both @ self.w_update + self.b_update)
        reset = self.gate(both @ self.w_reset + self.b_reset)
        new = self.squash(torch.cat([x, reset * h], 1) @ self.w_new + self.b_new)
        return update * h + (1 - update) * new


class TorqueReader(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.cell = GatedCell(3, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, currents):
        h = currents.new_zeros(len(currents), self.cell.hidden)
        for t in range(currents.shape[1]):
            h = self.cell(currents[:, t], h)
        return self.out(h).squeeze(1)


def recordings(count, samples=30):
    t = torch.arange(samples) * 0.1
    speed, load = 1 + 2 * torch.rand(2, count, 1)
    start = 2 * torch.pi * torch.rand(count, 1)
    shift = torch.tensor([0.0, 2.094, 4.189]).view(1, 1, 3)
    swell = 0.5 + 0.5 * load * (1 - torch.exp(-t / 1.5))
    currents = swell.unsqueeze(2) * torch.sin((speed * t + start).unsqueeze(2) + shift)
    return currents + 0.05 * torch.randn(count, samples, 3), (load * speed).squeeze(1) - 4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x_val, y_val = recordings(400)
    model = TorqueReader()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.MSELoss()
    for step in range(1, 301):
        x, y = recordings(64)
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_loss {loss_fn(model(x_val), y_val).item():.4f}")


if __name__ == "__main__":
    main()
