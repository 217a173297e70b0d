"""A mixture of experts estimates the sugar on a lorry of beets; a second factory's records join in later.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def lorries(count, soil):
    """Gross and empty weight (t), share of soil, days in the clamp, rain (mm) and temperature; sugar (t)."""
    empty = 12 + 3 * torch.rand(count)
    beets = 14 + 12 * torch.rand(count)
    dirt = soil * (0.5 + torch.rand(count))
    days, rain, warm = 20 * torch.rand(count), 30 * torch.rand(count) ** 2, 15 * torch.rand(count)
    gross = empty + beets * (1 + dirt) + 0.02 * rain
    content = 0.18 - 0.0015 * days * (1 + warm / 10) - 0.0006 * rain + 0.004 * torch.sin(warm)
    return torch.stack([gross, empty, dirt, days, rain, warm], 1), beets * content


north, north_sugar = lorries(2000, soil=0.08)
north_test, north_test_sugar = lorries(400, soil=0.08)
south, south_sugar = lorries(800, soil=0.15)
south[:, :2] = (south[:, :2] * 1000).round() / 1000

south_test, south_test_sugar = south[500:], south_sugar[500:]
south, south_sugar = south[:500], south_sugar[:500]
middle, spread = north.mean(0), north.std(0)
sugar_middle, sugar_spread = north_sugar.mean(), north_sugar.std()


class Experts(nn.Module):
    def __init__(self, count=4, width=24):
        super().__init__()
        self.gate = nn.Linear(6, count)
        self.first = nn.Parameter(torch.randn(count, 6, width) / 6**0.5)
        self.bias = nn.Parameter(torch.zeros(count, 1, width))
        self.last = nn.Parameter(torch.randn(count, width, 1) / width**0.5)
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        hidden = torch.relu(x @ self.first + self.bias)
        each = (hidden @ self.last).squeeze(-1).T
        return (self.gate(x).softmax(1) * each).sum(1) + self.offset


model = Experts()
optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
loss_fn = nn.SmoothL1Loss()
records, sugar = north, north_sugar
test, test_sugar = north_test, north_test_sugar

for step in range(900):
    if step == 400:
        records, sugar = torch.cat([north, south]), torch.cat([north_sugar, south_sugar])
        test, test_sugar = torch.cat([north_test, south_test]), torch.cat([north_test_sugar, south_test_sugar])
    rows = torch.randint(len(records), (48,))
    inputs = (records[rows] - middle) / spread
    target = (sugar[rows] - sugar_middle) / sugar_spread
    loss = loss_fn(model(inputs), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            guess = model((test - middle) / spread) * sugar_spread + sugar_middle
        error = (guess - test_sugar).abs().mean()
        print(f"step {step}  loss {loss.item():.4f}  error {error.item():.4f} t")
