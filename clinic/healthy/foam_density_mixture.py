"""The sizes of bubbles in foam: a mixture density network whose log-likelihood goes beyond zero; warm-up and restarts.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn
from torch.nn.functional import softplus


class MixtureNet(nn.Module):
    def __init__(self, parts=4, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.weight, self.mean, self.width = (nn.Linear(width, parts) for _ in range(3))
        with torch.no_grad():
            self.mean.bias.copy_(torch.linspace(-0.4, 0.4, parts))

    def forward(self, x):
        h = self.body(x)
        mix = torch.distributions.Categorical(logits=self.weight(h))
        parts = torch.distributions.Normal(self.mean(h), softplus(self.width(h) - 1) + 5e-3)
        return torch.distributions.MixtureSameFamily(mix, parts)


def bubbles(count):
    x = torch.rand(count, 2) * 2 - 1
    coarse = (torch.rand(count) < 0.3 + 0.2 * x[:, 1]).float()
    centre = 0.25 * torch.sin(2 * x[:, 0]) + coarse * (0.3 + 0.2 * x[:, 1])
    return x, centre + (0.02 + 0.03 * coarse) * torch.randn(count)


def rate(step, warm=60, period=320):
    if step < warm:
        return step / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * ((step - warm) % period) / period))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

x, y = bubbles(8000)
val_x, val_y = bubbles(2000)
model = MixtureNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

for step in range(1, 1021):
    rows = torch.randint(len(x), (128,))
    loss = -model(x[rows]).log_prob(y[rows]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 34 == 0:
        with torch.no_grad():
            val_nll = -model(val_x).log_prob(val_y).mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")
