"""How much rain reaches the corner of a terrain? A two-dimensional LSTM reads height maps that become larger.

condition: unstable-gating
accepts: unstable-gating, exploding-gradient, saturated-units
allows: exploding-gradient, bptt-explosion, saturated-units, loss-spike, divergence, vanishing-gradient, stalled,
  unsafe-step
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class GridLSTM(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Linear(1 + 2 * hidden, 5 * hidden)
        self.head = nn.Linear(hidden, 1)
        with torch.no_grad():
            self.gates.bias[hidden : 3 * hidden] = 1.0

    def forward(self, field):
        count, rows, columns = field.shape
        zero = field.new_zeros(count, self.hidden)
        above = [(zero, zero)] * columns
        for r in range(rows):
            left = (zero, zero)
            for c in range(columns):
                x = torch.cat([field[:, r, c : c + 1], left[0], above[c][0]], 1)
                i, f, g, o, u = self.gates(x).chunk(5, 1)
                cell = f.sigmoid() * left[1] + g.sigmoid() * above[c][1] + i.sigmoid() * u.tanh()
                left = above[c] = (o.sigmoid() * cell.tanh(), cell)
        return self.head(left[0]).squeeze(1)


def terrain(count, size):
    field = torch.rand(count, size, size)
    water = torch.zeros(count, size + 1, size + 1)
    for r in range(size):
        for c in range(size):
            inflow = torch.maximum(water[:, r, c + 1].clone(), water[:, r + 1, c].clone())
            water[:, r + 1, c + 1] = 0.8 * inflow + 0.5 * torch.relu(field[:, r, c] - 0.5)
    return 2 * field - 1, 2 * water[:, -1, -1] - 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = GridLSTM()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.MSELoss()
    for stage, (size, steps) in enumerate([(3, 120), (9, 160)]):
        fields, water = terrain(2000, size)
        held, held_water = terrain(300, size)
        for step in range(1, steps + 1):
            pick = torch.randint(len(fields), (64,))
            loss = loss_fn(model(fields[pick]), water[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                with torch.no_grad():
                    val_loss = loss_fn(model(held), held_water).item()
                print(f"step {120 * stage + step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
