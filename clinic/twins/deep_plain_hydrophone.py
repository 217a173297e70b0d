"""Five kinds of sound under water, told apart by a deep stack of one-dimensional convolutions.

condition: healthy
metric: accuracy max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def sounds(count, length=64):
    """Whistle up, whistle down, clicks, pulse train, ship noise; each with noise of the sea."""
    kind = torch.randint(5, (count,))
    t = torch.linspace(0, 1, length).repeat(count, 1)
    low = 4 + 3 * torch.rand(count, 1)
    span = 8 + 5 * torch.rand(count, 1)
    phase = 2 * math.pi * torch.rand(count, 1)
    up = torch.sin(2 * math.pi * (low * t + span * t.square() / 2) + phase)
    down = torch.sin(2 * math.pi * ((low + span) * t - span * t.square() / 2) + phase)
    clicks = 3 * (torch.rand(count, length) < 0.06).float() * torch.randn(count, length).sign()
    train = torch.sin(2 * math.pi * 18 * t + phase) * (torch.sin(2 * math.pi * low * t + phase) > 0.3) * 1.4
    ship = F.avg_pool1d(torch.randn(count, 1, length + 6), 7, 1).squeeze(1) * 2.4
    clean = torch.stack([up, down, clicks, train, ship], 1)[torch.arange(count), kind]
    heard = clean * (0.7 + 0.6 * torch.rand(count, 1)) + 0.5 * torch.randn(count, length)
    return heard.unsqueeze(1), kind


class Stack(nn.Module):
    def __init__(self, depth=22, width=20):
        super().__init__()
        layers = [nn.Conv1d(1, width, 5, padding=2), nn.ReLU()]
        for i in range(depth - 1):
            layers += [nn.Conv1d(width, width, 3, padding=1, stride=2 if i in (2, 7) else 1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, 5)
        self.apply(self.initialise)

    @staticmethod
    def initialise(module):
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.head(self.features(x).mean(2))


def main(seed, steps=400):
    torch.manual_seed(seed)
    model = Stack()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    exam, truth = sounds(600)
    for step in range(1, steps + 1):
        heard, kind = sounds(48)
        loss = F.cross_entropy(model(heard), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            with torch.no_grad():
                accuracy = (model(exam).argmax(1) == truth).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
