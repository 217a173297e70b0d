"""Delay of buses at a stop: a network for the expected delay, then heads for its quartiles on the same trunk.

condition: healthy
metric: mae min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

LINES = 12
line_habit = 0.6 * torch.randn(LINES)
line_length = torch.rand(LINES)


def rides(count):
    line = torch.randint(LINES, (count,))
    hour = 24 * torch.rand(count)
    rain = (torch.rand(count) < 0.3).float() * torch.rand(count)
    stop = torch.rand(count)
    rush = torch.exp(-(((hour - 8) / 1.5) ** 2)) + 1.2 * torch.exp(-(((hour - 17.5) / 2) ** 2))
    middle = line_habit[line] * stop + rush * (0.5 + line_length[line]) * stop + 1.5 * rain * stop - 0.4
    spread = 0.1 + 0.3 * rush * stop
    chance = torch.distributions.Gumbel(0.0, 1.0).sample((count,))
    angle = hour * 6.2832 / 24
    weather = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos(), 2 * rain, 2 * stop - 1], 1)
    return TensorDataset(line, weather, middle + spread * chance)


class Delays(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Embedding(LINES, 8)
        self.trunk = nn.Sequential(nn.Linear(14, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.expected = nn.Linear(64, 1)
        self.quartiles = nn.ModuleDict({name: nn.Linear(64, 1) for name in ("low", "median", "high")})

    def features(self, line, weather):
        return self.trunk(torch.cat([self.line(line), weather], 1))


def pinball(guess, delay, share):
    miss = delay - guess
    return torch.maximum(share * miss, (share - 1) * miss).mean()


def expected_loss(model, line, weather, delay):
    guess = model.expected(model.features(line, weather))
    return F.huber_loss(guess, delay.unsqueeze(1))


def quartile_loss(model, line, weather, delay):
    seen = model.features(line, weather)
    shares = {"low": 0.25, "median": 0.5, "high": 0.75}
    return sum(pinball(model.quartiles[name](seen).squeeze(1), delay, share) for name, share in shares.items())


@torch.no_grad()
def mean_miss(model, head, data):
    line, weather, delay = data.tensors
    return (head(model.features(line, weather)).squeeze(1) - delay).abs().mean().item()


train, held = rides(3000), rides(2000)
loader = DataLoader(train, batch_size=64, shuffle=True)
model = Delays()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=30)
for epoch in range(1, 31):
    objective, head = (expected_loss, model.expected) if epoch <= 10 else (quartile_loss, model.quartiles["median"])
    for line, weather, delay in loader:
        loss = objective(model, line, weather, delay)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    print(f"epoch {epoch}  loss {loss.item():.4f}  mae {mean_miss(model, head, held):.4f}")
