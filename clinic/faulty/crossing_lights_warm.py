"""How long will the light at a crossing stay red? A GRU over the last minute; its rate warms up for a long time.

condition: learning-rate-too-high
accepts: learning-rate-too-high, divergence, scheduler-misuse
allows: loss-spike, unsafe-step, saturated-units, exploding-gradient, stalled, output-logit-divergence
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def lights(count, length=24):
    green, red = torch.randint(3, 7, (count, 1)), torch.randint(3, 7, (count, 1))
    phase = torch.randint(0, 30, (count, 1)) + torch.arange(length)
    place = phase.remainder(green + red)
    state = (place >= green).float()
    cars = torch.poisson(1 + 2 * state)
    left = torch.where(state > 0, green + red - place, green - place)[:, -1]
    return torch.stack([state, cars / 4], 2), left - 1


class Light(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.left = nn.Linear(hidden, 6)

    def forward(self, seen):
        return self.left(self.gru(seen)[0][:, -1])


def warmup(step, length=400, goal=40.0):
    return 1.0 + (goal - 1.0) * min(1.0, step / length)


def main(seed):
    torch.manual_seed(seed)
    val_seen, val_left = lights(300)
    model = Light()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup)
    for step in range(1, 401):
        seen, left = lights(32)
        loss = F.cross_entropy(model(seen), left)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(val_seen), val_left).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
