"""Five states of a mill's stones from the hum they make: a plain stack of 1-D convolutions, momentum, no normalisation.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: stalled, vanishing-gradient, learning-rate-too-low
metric: accuracy max
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

STATES = 5


def weights_init(m):
    if isinstance(m, (nn.Conv1d, nn.Linear)):
        nn.init.normal_(m.weight, 0.0, 0.02)
        nn.init.zeros_(m.bias)


class HumNet(nn.Module):
    def __init__(self, width=24, depth=6):
        super().__init__()
        layers = [nn.Conv1d(1, width, 7, stride=2, padding=3), nn.ReLU()]
        for _ in range(depth - 1):
            layers += [nn.Conv1d(width, width, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Linear(width, STATES)
        self.apply(weights_init)

    def forward(self, x):
        return self.classify(self.features(x).mean(-1))


def hum(n, samples=96):
    state = torch.randint(STATES, (n,))
    t = torch.arange(samples) / samples
    base = 5 + 2.2 * state.unsqueeze(1) + 0.6 * torch.randn(n, 1)
    x = torch.sin(2 * math.pi * (base * t + torch.rand(n, 1))) + 0.4 * torch.sin(
        2 * math.pi * (3 * base * t + torch.rand(n, 1))
    )
    return (x + 0.3 * torch.randn(n, samples)).unsqueeze(1), state


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    test_x, test_y = hum(800)
    model = HumNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, total_steps=600, pct_start=0.15)
    for step in range(1, 601):
        x, y = hum(32)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 30 == 0:
            with torch.no_grad():
                accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
