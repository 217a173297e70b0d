"""A network knows noisy sines; on square waves its head is trained first, then one layer more every hundred steps.

condition: healthy
infos: frozen-parameters, optimizer-misses-parameters
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def waves(count, square):
    """Noisy waves (count, 1, 48) of one of six frequencies, with the number of the frequency."""
    label = torch.randint(6, (count,))
    t = torch.linspace(0, 1, 48)
    phase = 2 * math.pi * torch.rand(count, 1)
    wave = torch.sin(2 * math.pi * (2 + 0.7 * label.unsqueeze(1)) * t + phase)
    wave = wave.sign() if square else wave
    return (wave + 0.5 * torch.randn(count, 48)).unsqueeze(1), label


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv1d(1, 12, 7, stride=2, padding=3), nn.ReLU()),
                nn.Sequential(nn.Conv1d(12, 24, 5, stride=2, padding=2), nn.ReLU(), nn.Flatten()),
                nn.Sequential(nn.Linear(288, 48), nn.ReLU()),
            ]
        )
        self.head = nn.Linear(48, 6)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return self.head(x)

    def thaw(self, count):
        """Let the head and the last `count` stages learn, and no other."""
        for i, stage in enumerate(self.stages):
            stage.requires_grad_(i >= len(self.stages) - count)


def train(model, optimizer, steps, square, report=None):
    for step in range(1, steps + 1):
        if square and step % 100 == 1:
            model.thaw(step // 100)
        x, label = waves(48, square)
        loss = F.cross_entropy(model(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report and step % 16 == 0:
            report(step, loss.item())


model = WaveNet()
train(model, torch.optim.Adam(model.parameters(), lr=3e-3), 150, square=False)

model.head.reset_parameters()
val, val_label = waves(600, square=True)


def report(step, loss):
    with torch.no_grad():
        val_loss = F.cross_entropy(model(val), val_label).item()
    print(f"step {step}  loss {loss:.4f}  val_loss {val_loss:.4f}")


rates = [{"params": stage.parameters(), "lr": 1e-3} for stage in model.stages]
optimizer = torch.optim.AdamW([*rates, {"params": model.head.parameters(), "lr": 3e-3}])
train(model, optimizer, 400, square=True, report=report)
