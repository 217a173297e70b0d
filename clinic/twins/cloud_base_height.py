"""Height of a cloud's base from the ground's weather; a step length from the last two gradients.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F


class SecantDescent(torch.optim.Optimizer):
    def __init__(self, parameters, first=0.05, most=math.inf):
        super().__init__(parameters, {"first": first, "most": most})
        self.before = None

    @torch.no_grad()
    def step(self):
        group = self.param_groups[0]
        place = nn.utils.parameters_to_vector(group["params"])
        slope = nn.utils.parameters_to_vector([p.grad for p in group["params"]])
        rate = group["first"]
        if self.before is not None:
            moved, turned = place - self.before[0], slope - self.before[1]
            rate = min(group["most"], (moved @ moved / (moved @ turned).abs()).item())
        self.before = place, slope
        nn.utils.vector_to_parameters(place - rate * slope, group["params"])


def mornings(n):
    x = torch.randn(n, 6)
    height = 1.2 * torch.tanh(x[:, 0] - x[:, 1]) + torch.cos(1.5 * x[:, 2]) * x[:, 3] + 0.3 * x[:, 4] * x[:, 5]
    return x, height + 0.1 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = mornings(3000)
    val_x, val_y = mornings(1000)
    model = nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
    optimizer = SecantDescent(list(model.parameters()), most=0.2)
    for step in range(1, 1001):
        loss = F.mse_loss(model(x).squeeze(1), y)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == 1:
            with torch.no_grad():
                val_loss = F.mse_loss(model(val_x).squeeze(1), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
